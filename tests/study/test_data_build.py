"""Tests of `rlaif_jax.study.data_build`."""

import pytest
from pydantic import ValidationError

from rlaif_jax.study.data_build import DataBuild, Overlap


def test_what_did_not_happen_need_not_be_told():
    build = DataBuild(step="sft", arms=("a",), stages=2, read=10, kept=10)
    assert (build.dropped, build.cut, build.splits) == ({}, {}, {})


@pytest.mark.parametrize("field", ["read", "kept"])
def test_rows_are_counted_from_zero(field):
    with pytest.raises(ValidationError, match=field):
        DataBuild(
            **{"step": "sft", "arms": (), "stages": 1, "read": 1, "kept": 1, field: -1}
        )
    with pytest.raises(ValidationError, match="prompts"):
        Overlap(first="a", second="b", prompts=-1, of=1)


@pytest.mark.parametrize(
    ("step", "title"),
    [
        ("teacher", "Teacher's completions"),
        ("label", "Label"),
        ("a_new_one", "A new one"),
    ],
)
def test_a_step_has_a_name_for_people(step, title):
    build = DataBuild(step=step, arms=(), stages=1, read=0, kept=0)
    assert build.title == title
