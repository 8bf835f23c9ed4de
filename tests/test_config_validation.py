"""Tests of `rlaif_jax.config_validation`, and of the configs that hold it."""

import pytest

from rlaif_jax.config_file import load_config, validate
from rlaif_jax.config_parts import CheckpointConfig
from rlaif_jax.config_training import DpoConfig, RewardConfig, SftConfig
from rlaif_jax.config_validation import PairValidationConfig, SweepConfig
from rlaif_jax.errors import UsageError

RUN = {"model": {"path": "x"}, "optimizer": {"name": "adamw", "learning_rate": 1e-3}}
SFT = RUN | {"prompts": "p", "completions": "c", "splits": ["sft"]}
PAIRS = RUN | {"preferences": "labels"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": {"splits": ["sft"]}}, "'sft' is trained on and validated on"),
        ({"validation": {"splits": ["test"]}}, "only `evaluate` may read"),
        ({"validation": {"splits": []}}, "validation.splits"),
        ({"validation": {}}, "'validation.splits' is missing"),
        ({"validation": {"splits": ["v"]}, "splits": []}, "splits is empty"),
        ({"validation": {"splits": ["v"], "select": "accuracy"}}, "select"),
        (
            {"validation": {"splits": ["v"], "every_steps": 2, "every_epochs": 1}},
            "either validation.every_steps or validation.every_epochs",
        ),
        (
            {"checkpoint": {"every_steps": 2, "every_epochs": 1}},
            "either checkpoint.every_steps or checkpoint.every_epochs",
        ),
        ({"sweep": {"learning_rates": [1e-3]}}, "set validation.select too"),
    ],
)
def test_an_sft_run_that_would_fool_itself_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        validate(SftConfig, SFT | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": {"shards": 1, "preferences": "f"}}, "either validation.shards"),
        ({"validation": {"shards": 0}}, "validation.shards"),
        ({"sweep": {"learning_rates": [1.0]}, "validation": {}}, "validation.select"),
    ],
)
def test_a_run_on_pairs_that_could_not_choose_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        validate(DpoConfig, PAIRS | changes)


@pytest.mark.parametrize("rates", [[1e-3, 0.001], [0.0, 1e-3], []])
def test_rates_that_are_no_rates_or_share_a_folder_are_refused(rates):
    with pytest.raises(UsageError, match="learning_rates"):
        validate(SweepConfig, {"learning_rates": rates})


def test_the_rates_of_a_sweep_stand_for_the_optimizers():
    swept = PAIRS | {
        "optimizer": {"name": "rmsprop"},
        "sweep": {"learning_rates": [2e-3, 1e-3]},
        "validation": {"select": "loss"},
    }
    config = validate(DpoConfig, swept)
    assert config.optimizer.learning_rate == 2e-3
    with pytest.raises(UsageError, match="learning_rate"):
        validate(DpoConfig, swept | {"sweep": None})


def test_one_shard_is_held_out_unless_something_else_is_said():
    assert PairValidationConfig().held_out_shards == 1
    assert PairValidationConfig(shards=3).held_out_shards == 3
    folder = validate(PairValidationConfig, {"preferences": "elsewhere"})
    assert folder.held_out_shards == 0
    assert validate(DpoConfig, PAIRS).validation is None
    assert validate(RewardConfig, PAIRS).validation.held_out_shards == 1
    chosen = load_config(
        DpoConfig, [f"{k}={v}" for k, v in _flat(PAIRS)] + ["validation.select=loss"]
    )
    assert chosen.validation == PairValidationConfig(select="loss")


def test_a_resolved_config_is_read_back():
    run = SFT | {
        "validation": {"splits": ["validation"], "select": "loss"},
        "sweep": {"learning_rates": [1e-3, 2e-3]},
        "checkpoint": {"every_epochs": 1},
    }
    config = validate(SftConfig, run)
    assert validate(SftConfig, config.model_dump(mode="json")) == config
    assert CheckpointConfig(every_epochs=2).every_steps is None


def _flat(document, prefix=""):
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
