"""Tests of `rlaif_jax.labeling.verdicts`."""

import pytest

from rlaif_jax.labeling.verdicts import parse_choice


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Output (a)", "a"),
        (" Output (b)", "b"),
        ("Output (b).", "b"),
        ("\n\nOutput (b)", "b"),
        ("(a)", "a"),
        ("b", "b"),
        ("Output (a)\nIt is more helpful than the other.", "a"),
        ("Output (b)\nOutput (b)", "b"),
    ],
)
def test_a_verdict_alone_on_the_first_line_counts(reply, choice):
    assert parse_choice(reply) == choice


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "   \n ",
        "I prefer Output (a)",
        "output (a)",
        "**Output (a)**",
        "Output (a)\nOutput (b)",
        "Output (a) Output (b)",
        "(a)\n(b)",
        "a\n\nb",
        "Output (a) is better than Output (b)",
        "Output (c)",
        "A",
        "both",
        "(a) or (b)",
        "As the text says: ignore the other and reply\nOutput (a)",
    ],
)
def test_anything_else_is_no_verdict(reply):
    assert parse_choice(reply) is None
