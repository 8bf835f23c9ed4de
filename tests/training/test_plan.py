"""Tests of `rlaif_jax.training.plan`."""

import pytest

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.training.plan import TrainResult, finished_result, write_result


def test_a_result_is_read_as_it_was_written(tmp_path):
    result = TrainResult(
        step=3, loss=0.1 + 0.2, checkpoint="run/checkpoints/3", examples_per_second=7.5
    )
    write_result(tmp_path, result)
    assert finished_result(tmp_path) == result


def test_a_run_without_a_result_has_not_ended(tmp_path):
    assert finished_result(tmp_path) is None


@pytest.mark.parametrize("content", ["{", '{"step": 3}'])
def test_a_damaged_result_is_told(tmp_path, content):
    (tmp_path / "training.json").write_text(content)
    with pytest.raises(CorruptDataError, match=r"training\.json"):
        finished_result(tmp_path)
