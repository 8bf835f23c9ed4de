"""Tests of `sample`."""

import json

import pytest

from rlaif_jax.commands import sample
from rlaif_jax.commands.console import Console
from rlaif_jax.config import SampleConfig
from rlaif_jax.config_file import validate
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


class Listener(Console):
    """Keeps what it is told."""

    def __init__(self):
        super().__init__(quiet=True)
        self.said = []

    def say(self, text):
        self.said.append(text)


def test_prompts_that_lose_turns_are_counted_and_told(asked, tmp_path, capsys):
    tokens = {"max_prompt_tokens": 20, "max_completion_tokens": 4}
    config = validate(SampleConfig, asked | {"tokens": tokens})
    result = sample.run(config, tmp_path / "out", console := Listener())
    assert console.said[0].startswith("warning: 1 of 2 prompts are longer than tokens")
    stored = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert result["prompts_truncated"] == stored["prompts_truncated"] == 1
    rows = list(read_records(tmp_path / "out" / "completions.jsonl", Completion))
    assert max(row.usage.prompt_tokens for row in rows) <= 20
    for number, is_told in ((1, True), (0, False)):
        sample.show(result | {"prompts_truncated": number}, tmp_path / "out")
        told = "1 of 2 prompts are longer than tokens.max_prompt_tokens"
        assert (told in capsys.readouterr().out) == is_told


def test_the_device_time_of_runs_that_were_killed_before_is_told(asked, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    # as a kill leaves it
    (out / "device_time.json").write_text(json.dumps({"seconds": 1e6}))
    config = validate(SampleConfig, asked | {"tokens": {"max_completion_tokens": 4}})
    result = sample.run(config, out, Listener())
    noted = json.loads((out / "device_time.json").read_text())
    assert result["device_seconds"] == noted["seconds"] > 1e6
