"""Tests of `rlaif_jax.training.sft`."""

import jax
import numpy as np
import pytest

from rlaif_jax.config_parts import RowsConfig, TokensConfig
from rlaif_jax.data.encoded import Fate
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Example
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.data.tokenizer import load_tokenizer
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.lab.vocabulary import write_tokenizer
from rlaif_jax.records import Completion, Message, Prompt
from rlaif_jax.training.plan import StartModel
from rlaif_jax.training.scoring import completion_logps
from rlaif_jax.training.sft import (
    ENCODERS,
    ExampleEncoder,
    sft_objective,
    train_sft,
)

EXAMPLES = [Example([2 + i, 3, 4], [10 + i, 20, 1][: 3 - (i == 5)]) for i in range(8)]
SOURCE = MemorySource(EXAMPLES, fingerprint="examples")


LAYOUT = build_layout(RowsConfig(), length=16)


def fit_tiny(start, plan, session, **changes):
    objective = sft_objective(start.config, changes.pop("loss", "sequence_sum"))
    options = {"objective": objective, "layout": LAYOUT} | changes
    return train_sft(start, SOURCE, plan=plan, session=session, **options)


@pytest.mark.parametrize("loss", ["sequence_sum", "token_mean"])
def test_the_loss_falls(start, plan, session, metrics_of, loss):
    where = session()
    fit_tiny(start, plan(epochs=25), where, loss=loss)
    losses = [line["loss"] for line in metrics_of(where)]
    assert len(losses) == 25
    assert losses[-1] < 0.2 * losses[0]


def test_losses_and_metrics_are_those_of_the_paper(tiny, params):
    rows = LAYOUT(EXAMPLES)
    logps = np.asarray(jax.jit(completion_logps, static_argnums=0)(tiny, params, rows))
    logps = logps[:, 0]
    lengths = np.array([len(example.completion) for example in EXAMPLES])
    results = {
        loss: jax.jit(sft_objective(tiny, loss))(params, rows)
        for loss in ("sequence_sum", "token_mean")
    }
    loss, metrics = results["sequence_sum"]
    np.testing.assert_allclose(loss, -logps.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["logps/chosen"], logps.mean(), rtol=1e-5)
    token_mean = -(logps / lengths).mean()
    np.testing.assert_allclose(results["token_mean"][0], token_mean, rtol=1e-5)
    np.testing.assert_allclose(metrics["nll/chosen"], token_mean, rtol=1e-5)


def test_a_finished_run_is_not_trained_again(tiny, start, plan, session):
    def never():
        raise AssertionError("loaded")

    first = fit_tiny(start, plan(), session())
    unread = StartModel(config=tiny, tokenizer_dir=start.tokenizer_dir, load=never)
    assert fit_tiny(unread, plan(), session()) == first


def test_ids_outside_the_vocabulary_are_refused(start, plan, session):
    source = MemorySource([Example([2], [32, 1])] * 8, fingerprint="bad")
    with pytest.raises(CorruptDataError, match="token id 32 is outside"):
        train_sft(
            start,
            source,
            objective=sft_objective(start.config, "sequence_sum"),
            layout=LAYOUT,
            plan=plan(),
            session=session(),
        )


def test_an_example_is_the_prompt_and_the_completion_with_its_end(tmp_path):
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    prompt = Prompt.create((Message(role="user", content="abc"),), source="test")
    whole = Completion.create(prompt.prompt_id, "cba", generator="teacher")
    cut = Completion.create(
        prompt.prompt_id, "cba", generator="teacher", finish_reason="length"
    )
    encoder = ExampleEncoder(tokenizer, TokensConfig(max_completion_tokens=4))
    example = encoder.encode(prompt, whole)
    unfinished = encoder.encode(prompt, cut)
    assert example.fate == Fate((False, False), (True,))
    assert unfinished.fate == Fate((False, False), (False,))
    long = Completion.create(prompt.prompt_id, "cba" * 9, generator="teacher")
    assert encoder.encode(prompt, long).fate == Fate((False, True), (False,))
    assert example.prompt == unfinished.prompt
    assert example.completion == [*unfinished.completion, tokenizer.eos_token_id]


def test_as_in_the_paper_a_completion_that_its_writer_did_not_end_has_an_end(tmp_path):
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    prompt = Prompt.create((Message(role="user", content="abc"),), source="test")
    cut, long = (
        Completion.create(
            prompt.prompt_id, text, generator="student", finish_reason="length"
        )
        for text in ("cba", "cba" * 30)
    )
    tokens = TokensConfig(max_prompt_tokens=30, max_completion_tokens=9, compat="paper")
    encoder = ENCODERS[tokens.compat](tokenizer, tokens)

    assert encoder.encode(prompt, cut).completion[-1] == tokenizer.eos_token_id
    example = encoder.encode(prompt, long)

    assert len(example.completion) == 9
    assert example.fate == Fate((False, True), (False,))
    assert encoder.counts == {
        "examples": 2,
        "prompts_truncated": 0,
        "completions_truncated": 1,
        "completions_without_end": 1,
    }
