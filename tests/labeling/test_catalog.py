"""Tests of `rlaif_jax.labeling.catalog`."""

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.catalog import template_named
from rlaif_jax.labeling.wording import RATIONALE, VERDICT


def test_names_and_files_are_told_apart(tmp_path):
    assert template_named("verdict") is VERDICT
    assert template_named("rationale") is RATIONALE
    path = tmp_path / "mine.yaml"
    path.write_text(
        "messages: [{role: user, content: '{instruction}{output_a}{output_b}'}]"
    )
    assert template_named(str(path)).name == str(path)


def test_an_unknown_name_tells_the_known_ones():
    with pytest.raises(UsageError, match=r"'mine\.yaml': it is verdict, .*/"):
        template_named("mine.yaml")
