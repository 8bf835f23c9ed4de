"""Tests of `rlaif_jax.labeling.grading_forms`."""

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.grading import form_texts, read_rating, read_verdict
from rlaif_jax.labeling.grading_forms import own_forms, read_forms

# the layout of FastChat's templates, in other words
FILE = """
first:
  - {role: user, content: "[Question] {question_1} [Answer] {answer_1}"}
second:
  - {role: user, content: "{question_1} {answer_1} {question_2} {answer_2}"}
first_reference:
  - {role: user, content: "{question_1} {reference_1} {answer_1}"}
"""


@pytest.mark.parametrize("grading", ["single", "pairwise"])
def test_our_forms_show_every_text_of_their_turn(grading):
    forms = own_forms(grading)
    for (turn, has_reference), form in forms.items():
        texts = {
            name: f"<{name}>"
            for name in form_texts(grading, turn, has_reference=has_reference)
        }
        content = form.messages(texts)[-1].content
        assert all(text in content for text in texts.values())
        assert ("reference answer stands" in content) == has_reference
    assert len({form.hash for form in forms.values()}) == 4


@pytest.mark.parametrize(
    ("grading", "grades"),
    [("single", {"[[5]]": 5.0}), ("pairwise", {"[[A]]": 0, "[[B]]": 1, "[[C]]": 0.5})],
)
def test_every_form_asks_for_a_last_line_that_is_read(grading, grades):
    read = {"single": read_rating, "pairwise": read_verdict}[grading]
    for form in own_forms(grading).values():
        closing = form.turns[-1].content.rpartition("\n\n")[2]
        assert "end with a line that holds nothing but" in closing
        assert {one: read(f"Why.\n{one}") for one in grades if one in closing} == grades


def test_a_file_may_leave_out_what_references_need(tmp_path):
    path = tmp_path / "forms.yaml"
    path.write_text(FILE)
    forms = read_forms(path, "single")
    assert set(forms) == {(1, False), (2, False), (1, True)}
    texts = {"question_1": "Q", "answer_1": "A", "reference_1": "R"}
    assert forms[1, True].messages(texts)[0].content == "Q R A"


def test_a_file_for_another_grading_is_refused(tmp_path):
    path = tmp_path / "forms.yaml"
    path.write_text(FILE)
    with pytest.raises(UsageError, match=r"forms.yaml asks for no pairwise grades"):
        read_forms(path, "pairwise")
