"""Tests of `rlaif_jax.labeling.recorded`."""

import json
from pathlib import Path

import pytest

from rlaif_jax.annotations import read_judgments
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.labeling.recorded import RecordedCritic, RecordedTeacher
from rlaif_jax.labeling.teacher import Draw
from rlaif_jax.records import Comparison, Completion, Verdict

pytestmark = pytest.mark.anyio
SHARED = Path(__file__).parents[3] / "shared"  # beside the repository
REAL = SHARED / "data" / "alpaca_eval" / "phi-2.annotations.json.gz"


def row(preference, instruction="question 0", **fields):
    return {
        "instruction": instruction,
        "output_1": "good",
        "generator_1": "davinci",
        "output_2": "bad",
        "generator_2": "phi",
        "annotator": "gpt4",
        "preference": preference,
        "price_per_example": 0.02,
    } | fields


@pytest.fixture
def file(tmp_path):
    def write(*rows):
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(list(rows)))
        return path

    return write


@pytest.mark.parametrize(
    ("preference", "verdict", "p_first"),
    [
        (1, Verdict.FIRST, 1.0),
        (2.0, Verdict.SECOND, 0.0),
        (1.25, Verdict.FIRST, 0.75),
        (1.75, Verdict.SECOND, 0.25),
        (1.5, Verdict.TIE, 0.5),
        (0, Verdict.TIE, 0.5),
        (None, Verdict.FAILED, None),
        (-1, Verdict.FAILED, None),
    ],
)
async def test_a_recorded_preference_is_a_label(
    file, comparison, preference, verdict, p_first
):
    critic = RecordedCritic.from_file(file(row(preference)))
    label = await critic.judge(comparison(0, "good", "bad"))
    assert (label.verdict, label.p_first) == (verdict, p_first)
    assert (label.critic, label.cost_usd, label.calls) == ("gpt4", 0.02, 0)


async def test_the_other_order_is_the_opposite_label(file, comparison):
    critic = RecordedCritic.from_file(file(row(1.25)))
    label = await critic.judge(comparison(0, "bad", "good"))
    assert (label.verdict, label.p_first) == (Verdict.SECOND, 0.25)


async def test_equal_texts_are_a_tie_whatever_is_recorded(file, comparison):
    critic = RecordedCritic.from_file(file(row(1)))
    label = await critic.judge(comparison(0, "same", "same"))
    assert (label.verdict, label.state) == (Verdict.TIE, "skipped_identical")


async def test_an_unknown_comparison_names_its_instruction(file, comparison):
    critic = RecordedCritic.from_file(file(row(1)))
    with pytest.raises(UsageError, match="question 9"):
        await critic.judge(comparison(9, "good", "bad"))


def test_contradictions_are_refused(file):
    with pytest.raises(CorruptDataError, match="different judgments"):
        RecordedCritic.from_file(file(row(1), row(2)))


async def test_a_teacher_reads_either_output(file, prompt):
    judgments = read_judgments(file(row(1)))
    for output, text, writer in (
        ("output_1", "good", "davinci"),
        ("output_2", "bad", "phi"),
    ):
        teacher = RecordedTeacher(judgments, output=output, source="f")
        completion = await teacher.complete(Draw(prompt("question 0")))
        assert (completion.text, completion.generator) == (text, writer)
        with pytest.raises(UsageError, match="no completion"):
            await teacher.complete(Draw(prompt("unknown")))


def test_two_texts_for_one_prompt_are_refused(file):
    judgments = read_judgments(file(row(1), row(1, output_2="other")))
    with pytest.raises(CorruptDataError, match="output_2"):
        RecordedTeacher(judgments, output="output_2", source="f")


@pytest.mark.skipif(not REAL.exists(), reason="the shared data are not here")
async def test_real_annotations_give_the_published_counts(prompt):
    judgments = read_judgments(REAL)
    critic = RecordedCritic(judgments, source=REAL.name)
    verdicts = []
    for one in judgments:
        asked = prompt(one.instruction)
        pair = Comparison.create(
            asked,
            Completion.create(asked.prompt_id, one.output_1, generator="1"),
            Completion.create(asked.prompt_id, one.output_2, generator="2"),
        )
        verdicts.append((await critic.judge(pair)).verdict)
    counts = [verdicts.count(verdict) for verdict in Verdict]
    assert counts == [543, 234, 22, 6]  # first, second, tie, failed
