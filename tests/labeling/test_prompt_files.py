"""Tests of `rlaif_jax.labeling.prompt_files`."""

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.prompt_files import read_template

RUBRIC = """
# a rubric: facts first
messages:
  - role: system
    content: You grade answers by their facts.
  - role: user
    content: |
      {instruction}
      ---
      A: {output_a}
      ---
      B: {output_b}
      ---
      List mistakes, then end with A or B alone.
labels: [A, B]
verdict_line: final
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "rubric.yaml"
        path.write_text(text)
        return path

    return write


def test_a_file_has_turns_and_a_grammar(file, comparison, hostile):
    template = read_template(file(RUBRIC))
    for text in hostile.TEXTS:
        messages = template.messages(comparison(1, text, "two"), swapped=True)
        assert [one.role for one in messages] == ["system", "user"]
        assert messages[1].content.startswith("question 1\n---\nA: two\n---\nB: ")
    assert template.grammar.choice("B is wrong about 1066.\nA") == "a"
    assert template.grammar.choice("A\nB is wrong about 1066.") is None
    assert template.grammar.needs_end


def test_the_hash_follows_what_the_file_says_not_how(file):
    before = read_template(file(RUBRIC)).hash
    assert read_template(file(RUBRIC + "# a comment\n")).hash == before
    for old, new in (("facts.", "facts!"), ("[A, B]", "[B, A]"), ("final", "first")):
        assert read_template(file(RUBRIC.replace(old, new, 1))).hash != before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{output_b}", "{output_c}", r"unknown placeholder \{output_c\}"),
        ("{instruction}", "", r"no placeholder \{instruction\}"),
        ("role: system", "role: tool", r"messages\.0\.role: .*'tool'"),
        ("labels: [A, B]", "labels: [A, AB]", "begins like the other: 'A' and 'AB'"),
        ("labels: [A, B]", "labels: [A, '']", "one line, without blanks at ends: ''"),
        ("labels: [A, B]", "labels: [A]", "labels"),
        ("verdict_line", "verdict", "verdict'; did you mean 'verdict_line'"),
        ("final", "middle", "verdict_line: .*'middle'"),
        ("messages:", "messages: x\nother:", "messages"),
    ],
)
def test_a_wrong_file_is_refused_by_name(file, old, new, message):
    path = file(RUBRIC.replace(old, new, 1))
    with pytest.raises(UsageError, match=rf"rubric\.yaml is no template: .*{message}"):
        read_template(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"no config at .*nothing\.yaml"):
        read_template(tmp_path / "nothing.yaml")
