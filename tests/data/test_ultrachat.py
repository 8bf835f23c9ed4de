"""Tests of `rlaif_jax.data.ultrachat`."""

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.ultrachat import read_ultrachat


def test_the_first_exchange_of_each_dialogue(made_up):
    path = made_up("ultrachat.jsonl")
    source = SourceConfig(format="ultrachat", path=path, split="test_sft")
    tides, brief, backwards = read_ultrachat(source)

    assert [turn.content for turn in tides.messages] == ["Tell me of tides."]
    assert (tides.answer, tides.split) == ("The moon pulls.", "test")
    assert [turn.role for turn in brief.messages] == ["system", "user"]
    assert brief.answer == "Yes."
    assert backwards.dropped == "assistant_first"
