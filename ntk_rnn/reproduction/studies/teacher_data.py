"""Data of a small linear RNN, the teacher, for training and for testing."""

from __future__ import annotations

from functools import partial

import jax
from jaxtyping import Array, Float

import ntk_rnn as nr
from ntk_rnn.reproduction.studies.configs import TeacherConfig

TrainData = tuple[Float[Array, "N T n_x"], Float[Array, "N T n_y"]]
TestData = tuple[Float[Array, "M T n_x"], Float[Array, "M T n_y"]]


@partial(jax.jit, static_argnums=1)
def draw(key: Array, config: TeacherConfig) -> tuple[TrainData, TestData]:
    """Noisy outputs of a teacher, for training and for testing."""
    return split(config, *sequences(key, config, config.snr_db))


def sequences(
    key: Array, config: TeacherConfig, snr_db: float | None
) -> tuple[Float[Array, "K T n_x"], Float[Array, "K T n_y"]]:
    """Inputs, and the teacher's outputs with noise, or without if ``snr_db`` is ``None``."""
    return nr.data.teacher(
        key, config.num_train + config.num_test, config.seq_len,
        in_dim=config.in_dim, out_dim=config.out_dim, width=config.teacher_width,
        nu_w=config.nu_w, nu_f=config.nu_f, nu_c=config.nu_c, snr_db=snr_db,
    )  # fmt: skip


def split(config: TeacherConfig, x: Array, y: Array) -> tuple[TrainData, TestData]:
    """The first sequences for training, the others for testing."""
    n = config.num_train
    return (x[:n], y[:n]), (x[n:], y[n:])
