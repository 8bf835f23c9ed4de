"""Tests of `rlaif_jax.study.label_audit`."""

import pytest
from pydantic import ValidationError

from rlaif_jax.study.label_audit import LabelAudit, Rate


def audit(**fields):
    verdicts = {"first": 5, "second": 2, "tie": 3, "failed": 0}
    return LabelAudit(
        arms=("a",),
        critics=("judge",),
        comparisons=10,
        **{"verdicts": verdicts, "identical": 1} | fields,
    )


def test_a_share_is_of_all_comparisons():
    assert audit().share("tie") == pytest.approx(0.3)
    assert audit().share("refused") == 0.0


def test_no_comparisons_have_no_shares():
    assert audit().model_copy(update={"comparisons": 0, "verdicts": {}}).share("x") == 0


def test_a_rate_is_a_number():
    with pytest.raises(ValidationError):
        Rate(value=float("nan"), low=0.0, high=1.0, n=1)
