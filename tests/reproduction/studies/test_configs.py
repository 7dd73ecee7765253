"""Configurations, the registry, and what they say of mistakes."""

import dataclasses
import math

import pytest

from ntk_rnn.reproduction import registry
from ntk_rnn.reproduction.studies.configs import DynamicsConfig, KernelsConfig


def test_fig1_is_the_papers():
    config = registry.find("fig1").paper
    assert dataclasses.asdict(config) == {
        "width": 1000, "teacher_width": 4, "in_dim": 1, "out_dim": 1, "seq_len": 10,
        "nu_w": 0.3, "nu_f": 1.0, "nu_c": 1.0, "snr_db": 20.0, "num_train": 50, "num_test": 50,
        "learning_rate": 1e-4, "steps": 1000, "seeds": 8, "first_seed": 0,
    }  # fmt: skip
    assert registry.find("fig2").paper == dataclasses.replace(config, steps=10)


@pytest.mark.parametrize("name", registry.STUDIES)
def test_studies_are_called_by_their_names_and_fit_the_help(name):
    study = registry.find(name)
    assert study.name == name and len(study.title) <= 68
    assert isinstance(study.load(), registry.StudyModule)
    assert study.needs_data == any(f.name == "data" for f in dataclasses.fields(study.paper))


def test_seeds_follow_each_other():
    assert KernelsConfig(seeds=3, first_seed=5).seed_list == [5, 6, 7]


@pytest.mark.parametrize(
    ("config", "fields", "complaint"),
    [
        (DynamicsConfig, {"width": 0}, r"width must be at least 1, got 0; the default is 1000"),
        (DynamicsConfig, {"seeds": -1}, r"seeds must be at least 1, got -1"),
        (DynamicsConfig, {"nu_w": -0.3}, r"nu_w must be positive and finite, got -0.3; the def"),
        (DynamicsConfig, {"learning_rate": math.inf}, r"learning_rate must .*, got inf"),
        (DynamicsConfig, {"snr_db": math.nan}, r"snr_db must be finite, got nan"),
        (DynamicsConfig, {"first_seed": -1}, r"first_seed must be from 0 .*, got -1"),
        (KernelsConfig, {"widths": ()}, r"widths must not be empty"),
        (KernelsConfig, {"widths": (8, 0)}, r"widths must be at least 1, got 0"),
        (KernelsConfig, {"widths": (8, 8)}, r"widths must differ, got \(8, 8\)"),
        (KernelsConfig, {"nu_c": math.nan}, r"nu_c must be positive and finite, got nan"),
    ],
)
def test_errors_name_field_value_and_remedy(config, fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        config(**fields)


def test_an_unknown_study_is_refused_with_those_that_exist():
    with pytest.raises(ValueError, match=r"NAMES must be among fig1, fig2, .* got 'Fig1'.*'fig1'"):
        registry.find("Fig1")
    with pytest.raises(ValueError, match=r"got 'loss'; leave it out to run all"):
        registry.find("loss")
