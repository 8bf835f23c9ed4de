"""Tests of `sample`."""

import json

import pytest

from rlaif_jax.commands import sample
from rlaif_jax.config import SampleConfig
from rlaif_jax.files import read_records, write_records
from rlaif_jax.records import Completion, Message, Prompt

ASKED = Message(role="user", content="What is 2 + 3?")
SAID = Message(role="assistant", content="The answer is 5. " * 4)
AGAIN = Message(role="user", content="What is 4 + 5?")


@pytest.fixture
def asked(world, tmp_path):
    """A short prompt, and one with a first question and its answer."""
    path = tmp_path / "prompts.jsonl"
    chats = ((ASKED,), (ASKED, SAID, AGAIN))
    write_records(path, [Prompt.create(chat, source="x") for chat in chats])
    model = {"preset": "lab-tiny", "tokenizer": str(world / "tokenizer")}
    return {"model": model, "prompts": str(path), "batch_size": 8}


@pytest.mark.parametrize(("limit", "truncated"), [(20, 1), (128, 0)])
def test_prompts_that_lose_turns_are_counted_and_told(
    asked, limit, truncated, run, tmp_path, capsys
):
    tokens = {"max_prompt_tokens": limit, "max_completion_tokens": 4}
    result = run(sample, SampleConfig, asked | {"tokens": tokens}, tmp_path / "out")
    assert result["prompts_truncated"] == truncated
    stored = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert stored["prompts_truncated"] == truncated
    rows = list(read_records(tmp_path / "out" / "completions.jsonl", Completion))
    assert (rows[1].usage.prompt_tokens > 20) == (not truncated)
    sample.show(result, tmp_path / "out")
    told = "1 of 2 prompts are longer than tokens.max_prompt_tokens"
    assert (told in capsys.readouterr().out) == bool(truncated)
