"""Tests of `rlaif_jax.inspection.logged`."""

import numpy as np
import pytest

from rlaif_jax.config_losses import SimpoLossConfig
from rlaif_jax.data.tokenizer import load_tokenizer
from rlaif_jax.errors import UsageError
from rlaif_jax.inspection.logged import (
    batch_log_ratios,
    comparable_steps,
    read_pairs,
    run_log_ratios,
    strip_texts,
)
from rlaif_jax.inspection.runs import find_dpo_run


def test_steps_are_comparable_while_the_weights_before_them_are_kept(study):
    # checkpoints 4 and 5 are kept, and step 5 is the last
    assert comparable_steps(find_dpo_run(study)) == [1, 5]


@pytest.mark.parametrize("step", [1, 5])
def test_recomputed_log_ratios_are_those_that_training_logged(
    study, metrics, one_device, step
):
    means = batch_log_ratios(find_dpo_run(study), step, one_device).means()

    logged = metrics[step - 1]
    assert logged["step"] == step
    for name, value in means.items():
        assert value == pytest.approx(logged[name], rel=1e-5, abs=1e-5)
    assert (abs(means["rewards/margins"]) > 1e-3) == (step > 1)


def test_a_step_whose_weights_are_gone_is_refused(study, one_device):
    with pytest.raises(UsageError, match=r"step 2 .* only \[1, 5\]"):
        batch_log_ratios(find_dpo_run(study), 2, one_device)


def test_the_table_holds_every_preference_in_the_order_of_the_shards(study, one_device):
    run = find_dpo_run(study)
    ratios = run_log_ratios(run, one_device, num_strips=1)

    assert ratios.pair_ids == tuple(f"pair-{n}" for n in range(12))
    assert ratios.beta == 0.2
    assert len(ratios.strips) == 1
    assert strip_texts(run, ratios.strips[0]) == (["0", "</s>"], ["?"])
    # five steps that pull pairs apart
    assert ratios.margins.mean() > 0.0
    assert np.isfinite(ratios.policy).all()


def test_pairs_are_encoded_as_in_training(study):
    run = find_dpo_run(study)
    tokenizer = load_tokenizer(study / "tokenizer")

    pairs = read_pairs(run.preferences, tokenizer, run.config.tokens)

    assert pairs[10].pair_id == "pair-10"
    # written to its end, so the end token follows; the other was cut off
    assert pairs[10].pair.chosen[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(pairs[10].pair.rejected) == "??"


def test_rewards_of_other_things_than_log_ratios_are_refused(study, one_device):
    run = find_dpo_run(study)
    config = run.config.model_copy(update={"loss": SimpoLossConfig(name="simpo")})
    with pytest.raises(UsageError, match="trained with the loss simpo"):
        run_log_ratios(run._replace(config=config), one_device)
