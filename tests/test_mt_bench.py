"""Tests of `rlaif_jax.mt_bench`."""

import json

import pytest

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import write_records
from rlaif_jax.mt_bench import follow_ups, read_answers, read_questions
from rlaif_jax.records import Completion


def row(number, **fields):
    """A question in FastChat's format."""
    return {
        "question_id": number,
        "category": "writing",
        "turns": [f"question {number}", f"and {number}?"],
    } | fields


@pytest.fixture
def write(tmp_path):
    def write(*rows, name="question.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
        return path

    return write


@pytest.fixture
def answered(tmp_path):
    """Writes completions of prompts, and their file."""

    def answered(name, prompts, text="an answer"):
        path = tmp_path / name
        completions = [
            Completion.create(one.prompt_id, f"{text} {n}", generator="policy")
            for n, one in enumerate(prompts)
        ]
        write_records(path, completions)
        return path

    return answered


def test_a_question_has_a_category_two_turns_and_perhaps_references(write):
    first, second = read_questions(
        write(
            row(81),
            row(111, category="math", reference=["4", "5"], further_key=1),
        )
    )
    assert (first.question_id, first.category) == (81, "writing")
    assert (first.references(1), first.references(2)) == ((), ())
    assert (second.references(1), second.references(2)) == (("4",), ("4", "5"))


def test_a_reference_counts_only_where_answers_are_right_or_wrong(write):
    (question,) = read_questions(write(row(81, reference=["a", "b"])))
    assert question.reference == ("a", "b") and question.references(2) == ()


@pytest.mark.parametrize("blank", ["", " \n"])
def test_a_blank_reference_is_none(write, blank):
    fields = {"category": "coding"}
    (second,) = read_questions(write(row(103, reference=["4", blank], **fields)))
    assert (second.references(1), second.references(2)) == (("4",), ())
    (first,) = read_questions(write(row(103, reference=[blank, "5"], **fields)))
    assert (first.references(1), first.references(2)) == ((), ())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"turns": ["one"]}, r"question.jsonl:2 is no question of MT-bench: turns"),
        ({"turns": ["a", 3]}, "is no question"),
        ({"category": None}, "category"),
        ({"reference": ["one"]}, ":2: 1 references of two turns"),
        ({"question_id": 81}, ":2 repeats question 81"),
    ],
)
def test_a_row_that_is_no_question_is_named(write, bad, message):
    with pytest.raises(CorruptDataError, match=message):
        read_questions(write(row(81), row(82) | bad))


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_line_that_is_no_object_is_named(tmp_path, text):
    path = tmp_path / "q.jsonl"
    path.write_text(text)
    with pytest.raises(CorruptDataError, match=r"q\.jsonl:1 is (not JSON|list, not)"):
        read_questions(path)


def test_the_second_prompt_holds_the_writers_own_first_answer(write, answered):
    questions = read_questions(write(row(81), row(82)))
    first = answered("first.jsonl", [one.first_prompt("x") for one in questions])
    prompts = follow_ups(questions, first)
    assert [(m.role, m.content) for m in prompts[1].messages] == [
        ("user", "question 82"),
        ("assistant", "an answer 1"),
        ("user", "and 82?"),
    ]
    assert {prompt.split for prompt in prompts} == {"test"}
    second = answered("second.jsonl", prompts, text="more")
    answers = read_answers(questions, [first, second])
    assert answers[0] == ("policy", ("an answer 0", "more 0"))


def test_missing_answers_are_counted(write, answered):
    questions = read_questions(write(row(81), row(82), row(83)))
    first = answered("first.jsonl", [questions[0].first_prompt("x")])
    with pytest.raises(UsageError, match=r"lacks answers to 2 of 3 questions, 82 the"):
        follow_ups(questions, first)


def test_a_second_answer_to_another_first_answer_is_missing(write, answered):
    questions = read_questions(write(row(81)))
    first = answered("first.jsonl", [questions[0].first_prompt("x")])
    other = answered("second.jsonl", [questions[0].second_prompt("else", "x")])
    with pytest.raises(UsageError, match=r"second\.jsonl lacks answers to 1 of 1"):
        read_answers(questions, [first, other])


def test_fastchats_answers_are_read(write):
    questions = read_questions(write(row(81), row(82)))
    rows = [
        {
            "question_id": number,
            "answer_id": "x",
            "model_id": "vicuna",
            "choices": [{"index": 0, "turns": [f"a {number}", f"b {number}"]}],
            "tstamp": 0.0,
        }
        for number in (82, 81)
    ]
    path = write(*rows, name="answers.jsonl")
    assert read_answers(questions, [path])[0] == ("vicuna", ("a 81", "b 81"))
    with pytest.raises(UsageError, match="lacks answers to 1 of 2"):
        read_answers(questions, [write(rows[0], name="one.jsonl")])
    with pytest.raises(CorruptDataError, match="answers question 82 again"):
        read_answers(questions, [write(rows[0], rows[0], name="two.jsonl")])


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"choices": [{"turns": ["only one"]}]}, r"choices\.0\.turns\.1"),
        ({"choices": [{"turns": [None, "text"]}]}, r"choices\.0\.turns\.0"),
        ({"choices": [{"turns": ["text", 5]}]}, r"choices\.0\.turns\.1"),
        ({"choices": [{"turns": "ab"}]}, r"choices\.0\.turns"),
        ({"choices": []}, "choices"),
        ({"model_id": None}, "model_id"),
    ],
)
def test_what_fastchat_would_not_have_written_is_refused(write, bad, field):
    questions = read_questions(write(row(81)))
    good = {
        "question_id": 81,
        "model_id": "vicuna",
        "choices": [{"turns": ["text", "more"]}],
    }
    path = write(good | bad, name="answers.jsonl")
    with pytest.raises(CorruptDataError, match=rf":1 is no answer to .*: {field}: "):
        read_answers(questions, [path])
