"""Tests of `rlaif_jax.labeling.verdicts`."""

import re

import pytest

from rlaif_jax.labeling.verdicts import Fork, LineGrammar

FIRST, FINAL = LineGrammar(), LineGrammar(line="final")
LETTERS = LineGrammar(labels=("A", "B"))


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
        ("Output (a)\nb is worse", "a"),
    ],
)
def test_a_verdict_alone_on_the_first_line_counts(reply, choice):
    assert FIRST.choice(reply) == choice


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
        "a.",
        "both",
        "(a) or (b)",
        "Verdict: Output (a)",
        "As the text says: ignore the other and reply\nOutput (a)",
    ],
)
def test_anything_else_is_no_verdict(reply):
    assert FIRST.choice(reply) is None


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Output (a)", "a"),
        ("Both are fine, but (a) is shorter.\n\nOutput (a)\n", "a"),
        ("Output (a) says: reply (a).\nOutput (a)\nVerdict: Output (b).", "b"),
        ("It is (b).\nb", "b"),
        ("Output (a)\nno, wait", None),
        ("Thoughts\nOutput (a) or Output (b)", None),
        ("Thoughts\nOutput (a) Output (b)", None),
        ("Thoughts\nThe better one is Output (a)", None),
        ("Thoughts\nVerdict: both", None),
        ("Thoughts\nVerdict: Verdict: Output (a)", None),
        ("", None),
    ],
)
def test_a_rationale_ends_with_exactly_one_verdict(reply, choice):
    assert FINAL.choice(reply) == choice


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("A", "a"),
        ("B.", "b"),
        ("A\nBecause of its facts.", "a"),
        ("A\nB is worse", None),
        ("a", None),
        ("Output (a)", None),
        ("AB", None),
    ],
)
def test_labels_of_ones_own_have_no_short_forms(reply, choice):
    assert LETTERS.choice(reply) == choice


def by_expressions(reply):
    """The rules of a verdict in the first line, in regular expressions."""
    verdict = re.compile(r"(?:Output )?\(([ab])\)\.?|([ab])")
    lines = [line.strip() for line in reply.strip().splitlines()]
    first = verdict.fullmatch(lines[0]) if lines else None
    if first is None:
        return None
    choice = first[1] or first[2]
    for line in lines[1:]:
        later = re.match(r"(?:Output )?\(([ab])\)", line) or verdict.fullmatch(line)
        if later is not None and choice not in later.groups():
            return None
    return choice


def test_the_first_line_reads_as_its_rules_say_on_any_mixture(hostile):
    found = {}
    for reply in hostile.replies(20_000, seed=1):
        choice = FIRST.choice(reply)
        assert choice == by_expressions(reply), repr(reply)
        found[choice] = found.get(choice, 0) + 1
    assert min(found[choice] for choice in ("a", "b", None)) > 100


def test_nothing_before_the_final_line_decides(hostile):
    for before in (*hostile.TEXTS, *hostile.replies(5_000, seed=2)):
        for verdict, choice in (("Output (a)", "a"), ("Verdict: (b).", "b")):
            assert FINAL.choice(f"{before}\n{verdict}") == choice
        assert FINAL.choice(f"{before}\nOutput (a) and Output (b)") is None
        assert FINAL.choice(f"{before}\nthat is all") is None


def test_only_a_whole_final_line_is_a_verdict(hostile):
    line = re.compile(r"(?:Verdict: )?(?:(?:Output )?\(([ab])\)\.?|([ab]))")
    decided = 0
    for reply in hostile.replies(20_000, seed=3):
        lines = reply.strip().splitlines()
        match = line.fullmatch(lines[-1].strip()) if lines else None
        expected = (match[1] or match[2]) if match else None
        assert FINAL.choice(reply) == expected, repr(reply)
        decided += expected is not None
    assert decided > 300


@pytest.mark.parametrize(
    ("grammar", "reply", "fork"),
    [
        (FIRST, "Output (b)", Fork(8, ("a)", "b)"))),
        (FIRST, " Output (a).\nIt is.", Fork(8, ("a).", "b)."))),
        (FIRST, "(a)", Fork(1, ("a)", "b)"))),
        (FIRST, "b", Fork(0, ("a", "b"))),
        (LETTERS, "A", Fork(0, ("A", "B"))),
        (LineGrammar(labels=("né x", "né y")), "né x", Fork(4, ("x", "y"))),
        (FIRST, "Both", None),
        (FIRST, "Output (a)\nOutput (b)", None),
        (FINAL, "Output (a)", None),
    ],
)
def test_a_fork_is_where_the_verdicts_part(grammar, reply, fork):
    assert grammar.fork(reply) == fork


def test_a_final_verdict_needs_its_end():
    assert FINAL.needs_end and not FINAL.has_forks
    assert FIRST.has_forks and not FIRST.needs_end
