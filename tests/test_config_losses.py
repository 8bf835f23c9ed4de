"""Every option on every preference loss has an effect or is refused, by its name."""

import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.config_file import load_config
from rlaif_jax.config_training import DpoConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.losses import PairLengths, PairLogps
from rlaif_jax.training.preference_loss import (
    PREFERENCE_LOSSES,
    PreferenceLoss,
    ScoredPairs,
)

RUN = [
    "model.path=x",
    "preferences=y",
    "optimizer.name=rmsprop",
    "optimizer.learning_rate=5e-7",
]
OPTIONS = {  # to a value that is no default
    "beta": "0.7",
    "label_smoothing": "0.3",
    "gamma": "0.2",
    "odds_weight": "0.9",
    "max_importance_weight": "1.5",
    "sft.weight": "0.3",
    "sft.loss": "sequence_sum",
}
TAKES = {  # beside sft and max_importance_weight
    "dpo": {"beta", "label_smoothing"},
    "robust": {"beta", "label_smoothing"},
    "cdpo_over_beta": {"beta", "label_smoothing"},
    "exo_pair": {"beta", "label_smoothing"},
    "simpo": {"beta", "gamma"},
    "orpo": {"odds_weight"},
    "hinge": {"beta"},
    "ipo_sum": {"beta"},
    "ipo_mean": {"beta"},
    "sigmoid_norm": {"beta"},
    "nca_pair": {"beta"},
    "bco_pair": {"beta"},
    "sppo_hard": {"beta"},
    "apo_zero": {"beta"},
    "apo_down": {"beta"},
    "reference_free": {"beta"},
}
FREE = {"reference_free", "simpo", "orpo"}
PAIRS = ScoredPairs(
    PairLogps(jnp.array([-3.0, -7.0]), jnp.array([-4.0, -5.0])),
    PairLengths(jnp.array([2, 3]), jnp.array([4, 3])),
    PairLogps(jnp.array([-4.0, -6.0]), jnp.array([-4.5, -6.5])),
)


def load(*overrides):
    return load_config(DpoConfig, [*RUN, *overrides]).loss


def values(config):
    loss = PreferenceLoss(config)
    sft = loss.sft_term(PAIRS)
    return loss.terms(PAIRS).loss + (0.0 if sft is None else sft)


def is_taken(name, option):
    if option.startswith("sft."):
        return name != "orpo"
    if option == "max_importance_weight":
        return name not in FREE
    return option in TAKES[name]


def test_every_loss_has_a_config_and_every_config_a_loss():
    assert TAKES.keys() == PREFERENCE_LOSSES.keys()
    for name in TAKES:
        assert load(f"loss.name={name}").name == name


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", sorted(TAKES))
def test_an_option_has_an_effect_or_is_refused(name, option):
    chosen = f"loss.name={name}"
    override = f"loss.{option}={OPTIONS[option]}"
    if not is_taken(name, option):
        shown = f"unknown config key 'loss.{option.partition('.')[0]}'.*; the keys"
        with pytest.raises(UsageError, match=shown):
            load(chosen, override)
        return
    before = load(chosen, "loss.sft.weight=1") if "." in option else load(chosen)
    after = load(chosen, override)
    assert np.abs(values(after) - values(before)).max() > 1e-4


def test_dpo_with_the_beta_of_the_paper_is_the_default():
    assert load() == load("loss.name=dpo", "loss.beta=0.05")
    assert load("loss.beta=0.3").name == "dpo"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["beta=0.1"], "unknown config key 'beta'; did you mean 'loss.beta'"),
        (["loss.name=ipo"], r"one of dpo, .*ipo_sum.*ipo_mean.*\(got 'ipo'\)"),
        (
            ["loss.gamma=1"],
            "'loss.gamma'; the keys there are beta, label_smoothing, ma",
        ),
        (["loss.name=hinge", "loss.lable_smoothing=0"], "are beta, max_importance_we"),
        (["loss.sft.wieght=1"], "did you mean 'loss.sft.weight'"),
        (["loss.dpo=1"], "unknown config key 'loss.dpo'"),
        (["loss.beta=0"], r"loss\.beta: .*greater than 0 \(got 0\)"),
        (["loss.label_smoothing=0.5"], r"loss\.label_smoothing: .*less than 0.5"),
        (["loss.name=exo_pair", "loss.label_smoothing=0"], "greater than 0"),
        (["loss.name=robust", "loss.label_smoothing=0"], "greater than 0"),
        (["loss.sft.weight=0"], r"loss\.sft\.weight: .*greater than 0"),
        (["loss.max_importance_weight=1e9"], "less than or equal to 1000000"),
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_the_config(overrides, message):
    with pytest.raises(UsageError, match=message):
        load(*overrides)
