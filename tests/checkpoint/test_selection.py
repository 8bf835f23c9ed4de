"""Tests of `rlaif_jax.checkpoint.selection`."""

import json

import pytest

from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.selection import Candidate, Selection, read_selection
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.models.registry import preset


def selection(*scores, by="loss"):
    candidates = tuple(Candidate(4 * n, n, s) for n, s in enumerate(scores, 1))
    return Selection(by=by, data={"shards": 1}, num_items=9, candidates=candidates)


def test_the_lowest_loss_and_the_highest_accuracy_win_and_the_first_of_equals():
    assert selection(0.7, 0.5, 0.6, 0.5).best.step == 8
    assert selection(0.7, 0.5, 0.6, 0.7, by="accuracy").best.step == 4


def test_a_choice_is_read_back_with_what_it_was_made_from(tmp_path):
    assert read_selection(tmp_path) is None
    made = selection(0.7, 0.5)
    made.write(tmp_path)
    assert read_selection(tmp_path) == made
    told = json.loads((tmp_path / "best.json").read_text())
    assert told["chosen_on"] == "validation"
    assert (told["step"], told["epoch"], told["score"]) == (8, 2, 0.5)
    assert told["num_candidates"] == len(told["candidates"]) == 2
    assert made.told == "step 8, the best of 2 by loss on validation (0.5)"


@pytest.mark.parametrize(
    "change", [{"candidates": []}, {"candidates": [{"step": 1}]}, {"step": 4}]
)
def test_a_choice_that_does_not_hold_together_is_refused(tmp_path, change):
    selection(0.7, 0.5).write(tmp_path)
    path = tmp_path / "best.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CorruptDataError, match=r"best\.json"):
        read_selection(tmp_path)


def test_a_folder_gives_the_selected_step_any_other_on_request(tmp_path, caplog):
    folder = store.ModelFolder(preset("lab-tiny"), tmp_path / "tokenizer", tmp_path)
    for step in (4, 8, 12):
        path = folder.checkpoints / str(step)
        path.mkdir(parents=True)
        (path / "weights").write_bytes(b"w" * step)
        store.integrity.seal(path)
    assert store.find_step(folder) == 12
    selection(0.7, 0.5, 0.6).write(tmp_path)
    with caplog.at_level("INFO", logger="rlaif_jax"):
        assert store.find_step(folder) == 8
    assert "step 8, the best of 3" in caplog.text
    assert store.find_step(folder, 12) == 12
    (folder.checkpoints / "8" / "weights").write_bytes(b"?" * 8)
    with pytest.raises(CorruptDataError, match="step 8"):
        store.find_step(folder)
