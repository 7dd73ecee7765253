"""Ensembles: the same as one run after the other, however many memory holds at once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.training.ensembles import ensemble


def test_seeds_variances_and_rates_are_batched():
    x, y = nr.data.teacher(jax.random.key(0), 6, 5)

    def run(member):
        model = nr.LinearRNN(16, 1, nu_w=member["nu_w"])
        params = model.init(member["key"], x)
        path = nr.gradient_descent(
            model, params, (x, y), steps=8, learning_rate=member["learning_rate"]
        )
        return path.train_loss, path.params

    members = {
        "key": jax.random.split(jax.random.key(1), 3),
        "nu_w": jnp.linspace(0.1, 0.9, 3),
        "learning_rate": jnp.linspace(1e-4, 1e-3, 3),
    }
    losses, params = ensemble(run, members)
    assert losses.shape == (3, 9) and params["params"]["W"].shape == (3, 16, 16)
    one = jax.jit(run)
    alone = [one(jax.tree.map(lambda a, i=i: a[i], members))[0] for i in range(3)]
    np.testing.assert_allclose(losses, alone, rtol=1e-3)


def test_any_batch_gives_the_same_and_is_compiled_once(dtype, tol, caplog):
    def run(member):
        return jnp.cumsum(member * jnp.ones(100, dtype)), member

    members = jnp.linspace(0, 1, 5, dtype=dtype)
    expected = np.arange(1, 101) * np.linspace(0, 1, 5)[:, None]
    # A batch of one is one run after the other, and two leave one over.
    for at_once in (1, 2, 5):
        given = {"max_bytes": at_once * _size(jax.jit(run), members)}
        sums, again = ensemble(run, members, **given)
        np.testing.assert_allclose(sums, expected, rtol=tol)
        np.testing.assert_array_equal(again, members)
        caplog.clear()
        with jax.log_compiles():
            ensemble(run, members + members, **given)
        assert not [m for m in caplog.messages if "Compiling jit(_batched)" in m]
        assert not [m for m in caplog.messages if "Compiling jit(scan)" in m]


def _size(run, members):
    analysis = run.lower(jax.tree.map(lambda a: a[0], members)).compile().memory_analysis()
    return analysis.temp_size_in_bytes + analysis.output_size_in_bytes


def test_batches_are_of_as_many_as_memory_holds():
    """As the program shows: members at once are the second axis of what it goes through."""

    def run(member):
        return jnp.cumsum(member * jnp.ones(1000))

    members = jnp.arange(12.0)
    size = _size(jax.jit(run), members)
    for at_once in (1, 3, 12):
        batched = partial(ensemble, run, max_bytes=at_once * size)
        text = str(jax.make_jaxpr(batched)(members))
        assert f"[{12 // at_once},{at_once}] = reshape" in text


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"members must be arrays .* axes \[\(2,\), \(3"):
        ensemble(jnp.sum, (jnp.ones(2), jnp.ones(3)))
    with pytest.raises(ValueError, match="members must be arrays"):
        ensemble(jnp.sum, {})
    with pytest.raises(ValueError, match="members must be arrays"):
        ensemble(jnp.sum, {"rate": 0.1})
    with pytest.raises(ValueError, match="max_bytes must be a positive integer, got 0"):
        ensemble(jnp.sum, jnp.ones((2, 3)), max_bytes=0)
