"""Tests of `rlaif_jax.config_plan`."""

import pytest

from rlaif_jax.config_file import load_config
from rlaif_jax.config_plan import PlanConfig
from rlaif_jax.errors import UsageError


@pytest.mark.parametrize(
    ("path", "verb"),
    [
        ("configs/dpo/mistral_7b.yaml", "dpo"),
        ("configs/sft/mistral_7b.yaml", "sft"),
        ("configs/reward/mistral_7b.yaml", "reward"),
    ],
)
def test_a_verbs_config_is_planned_as_it_is(path, verb):
    extra = ["task=reward"] if verb == "reward" else []
    config = load_config(PlanConfig, [path, "topology=v5e:4x8", *extra])
    assert config.planned == verb
    assert config.topology == "v5e:4x8"
    assert "model" in config.run
    assert "topology" not in config.run


def test_what_has_neither_completions_nor_preferences_is_sampled():
    config = load_config(PlanConfig, ["topology=v5e:4x4", "model.path=runs/sft"])
    assert config.planned == "sample"
    assert config.run == {"model": {"path": "runs/sft"}}


def test_a_topology_is_needed():
    with pytest.raises(UsageError, match="'topology' is missing"):
        load_config(PlanConfig, ["configs/dpo/mistral_7b.yaml"])
