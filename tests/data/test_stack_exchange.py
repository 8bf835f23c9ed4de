"""Tests of `rlaif_jax.data.stack_exchange`."""

from pathlib import Path

import datasets
import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.stack_exchange import held_out_rows as held_out
from rlaif_jax.data.stack_exchange import read_stack_exchange
from rlaif_jax.errors import CorruptDataError


def test_every_pair_of_unequal_scores_and_the_best_answer(made_up):
    source = SourceConfig(format="stack_exchange", path=made_up("stack_exchange.jsonl"))
    tagged, unanswered, plain = read_stack_exchange(source)

    assert tagged.messages[0].content == "How do I print a < in C?"
    best, worse, code = "Use putchar('<').", "You can't.", 'puts("<");'
    pairs = [(pair.chosen, pair.rejected) for pair in tagged.rivals]
    assert pairs == [(best, worse), (code, worse)]
    assert (tagged.answer, tagged.undecided) == (best, 1)  # two of score 3
    assert unanswered.dropped == "no_answer"
    assert plain.messages[0].content == "Plain text & no tags"
    assert plain.answer == "Second."


def test_the_test_rows_are_the_first_hundredth_of_the_shuffle_by_seed_42():
    table = datasets.Dataset.from_dict({"row": list(range(250))}).shuffle(seed=42)
    assert held_out(250) == set(table["row"][:2])
    assert held_out(99) == set()


def test_an_answer_without_score_is_corrupt_data(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": "q", "answers": [{"text": "a"}]}\n')
    with pytest.raises(CorruptDataError, match="row 0: an answer needs pm_score"):
        list(read_stack_exchange(SourceConfig(format="stack_exchange", path=str(path))))


def test_a_file_called_for_a_held_out_split_is_held_out_whole(tmp_path, made_up):
    path = tmp_path / "test.jsonl"
    path.write_bytes(Path(made_up("stack_exchange.jsonl")).read_bytes())
    exchanges = read_stack_exchange(
        SourceConfig(format="stack_exchange", path=str(path))
    )
    assert {one.split for one in exchanges} == {"test"}
