"""Tests of `rlaif_jax.checkpoint.steps`."""

import logging

import pytest

from rlaif_jax.checkpoint import integrity
from rlaif_jax.checkpoint.steps import (
    finished_steps,
    intact_step,
    prune,
    remove_unfinished,
)
from rlaif_jax.errors import CorruptDataError, UsageError


@pytest.fixture
def checkpoints(tmp_path):
    for step in (9, 10, 200):
        (tmp_path / str(step)).mkdir()
        (tmp_path / str(step) / "weights").write_bytes(bytes([step]) * 50)
        integrity.seal(tmp_path / str(step))
    return tmp_path


def damage(checkpoints, step):
    (checkpoints / str(step) / "weights").write_bytes(b"?" * 50)


def test_steps_are_ordered_as_numbers_and_need_their_seal(checkpoints):
    (checkpoints / "300").mkdir()
    (checkpoints / "notes").mkdir()
    assert finished_steps(checkpoints) == [9, 10, 200]
    assert finished_steps(checkpoints / "absent") == []


def test_leftovers_are_removed_and_nothing_else(checkpoints):
    (checkpoints / "300").mkdir()
    (checkpoints / "400.orbax-checkpoint-tmp").mkdir()
    (checkpoints / "corrupt-5").mkdir()
    remove_unfinished(checkpoints)
    names = {path.name for path in checkpoints.iterdir()}
    assert names == {"9", "10", "200", "corrupt-5"}


def test_the_newest_steps_stay(checkpoints):
    prune(checkpoints, 2)
    assert finished_steps(checkpoints) == [10, 200]
    assert not (checkpoints / "9").exists()
    prune(checkpoints, 5)
    assert finished_steps(checkpoints) == [10, 200]
    with pytest.raises(ValueError, match="keep 0"):
        prune(checkpoints, 0)


def test_the_newest_step_is_found_and_any_other_on_request(checkpoints):
    assert intact_step(checkpoints, None) == 200
    assert intact_step(checkpoints, 9) == 9


def test_a_damaged_step_is_set_aside_and_an_older_one_used(checkpoints, caplog):
    damage(checkpoints, 200)
    with caplog.at_level(logging.WARNING):
        assert intact_step(checkpoints, None) == 10
    assert "corrupt-200" in caplog.text and "weights" in caplog.text
    assert (checkpoints / "corrupt-200").is_dir()
    assert finished_steps(checkpoints) == [9, 10]


def test_a_wanted_step_that_is_damaged_is_not_replaced_by_another(checkpoints):
    damage(checkpoints, 10)
    with pytest.raises(CorruptDataError, match="step 10"):
        intact_step(checkpoints, 10)
    assert finished_steps(checkpoints) == [9, 200]


def test_no_intact_step_left_is_corrupt_data(checkpoints):
    for step in (9, 10, 200):
        damage(checkpoints, step)
    with pytest.raises(CorruptDataError, match="every step"):
        intact_step(checkpoints, None)


def test_a_name_that_is_taken_does_not_stop_setting_aside(checkpoints):
    (checkpoints / "corrupt-200").mkdir()
    damage(checkpoints, 200)
    assert intact_step(checkpoints, None) == 10
    assert (checkpoints / "corrupt-200-2").is_dir()


def test_a_step_that_is_not_there_is_a_usage_error(checkpoints, tmp_path):
    with pytest.raises(UsageError, match=r"no step 11 .* 9, 10, 200"):
        intact_step(checkpoints, 11)
    with pytest.raises(UsageError, match="no finished checkpoint"):
        intact_step(tmp_path / "absent", None)
