"""Tests of `rlaif_jax.study.recipes`."""

import pytest

from rlaif_jax.config_file import validate
from rlaif_jax.errors import UsageError
from rlaif_jax.study.recipes import BaseConfig, DpoRecipe, SftRecipe


def test_a_base_is_a_model_or_a_way_to_make_one():
    with pytest.raises(UsageError, match="either"):
        validate(BaseConfig, {})


@pytest.mark.parametrize("recipe", [SftRecipe, DpoRecipe])
def test_a_sweep_inside_a_study_chooses_by_validation(recipe):
    swept = {"optimizer": {"name": "adamw"}, "sweep": {"learning_rates": [1e-3, 3e-3]}}
    with pytest.raises(UsageError, match=r"set validation\.select too"):
        validate(recipe, swept)
    held_out = {"select": "loss"}
    if recipe is SftRecipe:
        held_out["splits"] = ["validation"]
    config = validate(recipe, swept | {"validation": held_out})
    assert config.optimizer.learning_rate == 1e-3


def test_a_choice_is_not_made_on_the_test_prompts():
    held_out = {"splits": ["test"], "select": "loss"}
    optimizer = {"name": "adamw", "learning_rate": 1e-3}
    with pytest.raises(UsageError, match="has test, which only"):
        validate(SftRecipe, {"optimizer": optimizer, "validation": held_out})
