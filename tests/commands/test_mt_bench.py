"""Tests of `followup` and `mt-bench`, over HTTP with the lab."""

import json
from random import Random

import pytest

from rlaif_jax.commands import complete, followup, mt_bench, prompts
from rlaif_jax.config import CompleteConfig, PromptsConfig
from rlaif_jax.config_bench import FollowupConfig, MtBenchConfig
from rlaif_jax.config_file import validate
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_records
from rlaif_jax.lab.tasks import answer, draw_instruction, parse
from rlaif_jax.labeling.grading_forms import own_forms
from rlaif_jax.records import Grade, Prompt

CATEGORIES = {"reverse": "writing", "add": "math"}
NUM_QUESTIONS = 16


@pytest.fixture
def questions(tmp_path):
    """A made-up question file in FastChat's format, of the lab's tasks."""
    random, rows = Random(0), []
    for number in range(NUM_QUESTIONS):
        family, category = list(CATEGORIES.items())[number % 2]
        turns = [draw_instruction(random, family, "test") for _ in range(2)]
        row = {"question_id": 81 + number, "category": category, "turns": turns}
        if category == "math":
            row["reference"] = [answer(parse(turn)) for turn in turns]
        rows.append(row)
    path = tmp_path / "question.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def answered(questions, tmp_path, run, endpoint):
    """Both turns of a teacher: turn 1, then turn 2 given its own first answer."""

    def answered(teacher):
        out = tmp_path / teacher
        source = {"format": "mt_bench", "path": str(questions)}
        read = run(prompts, PromptsConfig, {"source": source}, out / "prompts")
        assert read["splits"] == {"test": NUM_QUESTIONS}
        paths = []
        for turn in ("first", "second"):
            document = {"prompts": read["file"], "teacher": endpoint(teacher)}
            paths.append(run(complete, CompleteConfig, document, out / turn)["file"])
            asked = {"questions": str(questions), "completions": paths[0]}
            read = run(followup, FollowupConfig, asked, out / "followup")
        return paths

    return answered


@pytest.fixture
def document(questions, answered, endpoint):
    return {
        "questions": str(questions),
        "candidate": answered("lab-teacher-strong"),
        "evaluator": endpoint("lab-evaluator"),
    }


def test_the_second_prompts_are_conversations(questions, answered, tmp_path):
    answered("lab-teacher-strong")
    path = tmp_path / "lab-teacher-strong" / "followup" / "prompts.jsonl"
    roles = {tuple(m.role for m in p.messages) for p in read_records(path, Prompt)}
    assert roles == {("user", "assistant", "user")}


def test_single_grading_tells_the_teachers_apart(
    document, answered, tmp_path, run, capsys
):
    dry = run(mt_bench, MtBenchConfig, document | {"dry_run": True}, tmp_path / "d")
    strong = run(mt_bench, MtBenchConfig, document, tmp_path / "strong")
    assert strong["calls"] == dry["estimate"]["calls"] == 2 * NUM_QUESTIONS
    assert strong["cost_usd"] <= dry["estimate"]["at_most_usd"]
    weak = document | {"candidate": answered("lab-teacher-weak")}
    weaker = run(mt_bench, MtBenchConfig, weak, tmp_path / "weak")
    assert strong["overall"]["mean"] > weaker["overall"]["mean"] + 1
    assert strong["overall"]["n"] == 2 * NUM_QUESTIONS
    assert set(strong["turns"]) == {"1", "2"}
    assert set(strong["categories"]) == {"writing", "math"}
    grades = list(read_records(tmp_path / "strong" / "grades.jsonl", Grade))
    mean = sum(one.value for one in grades) / len(grades)
    assert strong["overall"]["mean"] == pytest.approx(mean)
    hashes = {(one.category, one.turn, one.template_hash) for one in grades}
    assert len(hashes) == len({digest for *_, digest in hashes}) == 4
    mt_bench.show(strong, tmp_path / "strong")
    mt_bench.show(dry, tmp_path / "d")
    shown = capsys.readouterr().out
    assert "rating by lab-evaluator: " in shown and "  turn 2: " in shown
    again = run(mt_bench, MtBenchConfig, document, tmp_path / "strong")
    assert again == strong  # from the ledger


def test_pairwise_grading_shows_both_orders(document, answered, tmp_path, run, capsys):
    pairwise = document | {
        "grading": "pairwise",
        "baseline": answered("lab-teacher-weak"),
    }
    result = run(mt_bench, MtBenchConfig, pairwise, tmp_path / "pairs")
    assert result["calls"] == 4 * NUM_QUESTIONS
    assert result["overall"]["mean"] > 60
    assert result["orders_differ"] == 0.0  # the lab has no favourite place
    swapped = pairwise | {
        "candidate": pairwise["baseline"],
        "baseline": document["candidate"],
    }
    other = run(mt_bench, MtBenchConfig, swapped, tmp_path / "swapped")
    assert other["overall"]["mean"] == pytest.approx(100 - result["overall"]["mean"])
    mt_bench.show(result, tmp_path / "pairs")
    assert "the orders differ on 0.0 % of turns" in capsys.readouterr().out


def test_a_template_of_yours_is_asked(document, tmp_path, run):
    file = tmp_path / "forms.yaml"
    text = "first:\n  - {role: user, content: '{question_1} {answer_1}'}\n"
    text += "second:\n  - {role: user, content: '{question_2} {answer_2}'}\n"
    file.write_text(text)
    mine = document | {"template": str(file)}
    with pytest.raises(UsageError, match="no first_reference, which question 82"):
        run(mt_bench, MtBenchConfig, mine, tmp_path / "mine")


def test_a_turn_without_a_reference_is_graded_without_one(
    document, questions, tmp_path, run
):
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    for row in rows:
        if "reference" in row:
            row["reference"][1] = ""
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(mt_bench, MtBenchConfig, document, tmp_path / "out")
    forms = own_forms("single")
    for grade in read_records(tmp_path / "out" / "grades.jsonl", Grade):
        has_reference = grade.category == "math" and grade.turn == 1
        assert grade.template_hash == forms[grade.turn, has_reference].hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grading": "pairwise"}, "baseline and grading=pairwise go together"),
        ({"candidate": []}, "candidate is two files of completions"),
        ({"candidate": ["a", "b", "c"]}, "not 3"),
    ],
)
def test_sides_that_cannot_be_are_refused(questions, endpoint, change, message):
    document = {
        "questions": str(questions),
        "candidate": ["a.jsonl"],
        "evaluator": endpoint("lab-evaluator"),
    }
    with pytest.raises(UsageError, match=message):
        validate(MtBenchConfig, document | change)
