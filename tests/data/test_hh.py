"""Tests of `rlaif_jax.data.hh`."""

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.hh import read_hh
from rlaif_jax.errors import CorruptDataError


def test_the_prompt_ends_with_the_last_question(made_up):
    source = SourceConfig(format="hh", path=made_up("hh"))
    egg, river, other, same, none, again = read_hh(source)

    assert [(t.role, t.content) for t in river.messages] == [
        ("user", "Hi"),
        ("assistant", "Hello! What is it?"),
        ("user", "Name a river."),
    ]
    (pair,) = river.rivals
    assert (pair.chosen, pair.rejected) == ("The Danube, for one.", "No.")
    assert river.answer == "The Danube, for one."
    assert egg.messages == again.messages and egg.rivals != again.rivals
    assert (other.dropped, none.dropped) == ("different_prompts", "no_dialogue")
    assert same.rivals[0].chosen == same.rivals[0].rejected


def test_text_that_names_a_speaker_inside_a_line_is_only_text(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(
        '{"chosen": "\\n\\nHuman: Is it Human: or not?\\n\\nAssistant: A",'
        ' "rejected": "\\n\\nHuman: Is it Human: or not?\\n\\nAssistant: B"}\n'
    )
    (one,) = read_hh(SourceConfig(format="hh", path=str(path), split="test"))
    assert one.messages[0].content == "Is it Human: or not?"
    assert one.split == "test"


def test_a_row_without_both_texts_is_corrupt_data_that_names_it(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"chosen": "x"}\n')
    with pytest.raises(CorruptDataError, match="row 0: 'rejected' is NoneType"):
        list(read_hh(SourceConfig(format="hh", path=str(path))))
