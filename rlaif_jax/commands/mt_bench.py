"""`mt-bench`: grades of both turns, or verdicts against a baseline."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.estimating import (
    dry_result,
    show_dry,
    show_spent,
    spending,
    tell_endpoints,
    tell_estimate,
)
from rlaif_jax.commands.judging import open_endpoint, workers_for
from rlaif_jax.config_bench import MtBenchConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.mt_bench import disagreement, ratings, wins
from rlaif_jax.files import write_json, write_records
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.budget import endpoint_prices
from rlaif_jax.labeling.estimate import Estimate
from rlaif_jax.labeling.grading import Forms, Grader, Sheet
from rlaif_jax.labeling.grading_forms import own_forms, read_forms
from rlaif_jax.labeling.pipeline import in_order
from rlaif_jax.mt_bench import Answers, BenchQuestion, read_answers, read_questions
from rlaif_jax.records import Grade, content_hash
from rlaif_jax.run_folder import claim
from rlaif_jax.typing import Json


def run(config: MtBenchConfig, out: Path, console: Console) -> Json:
    """Has both turns of every question graded."""
    sheets = _read_sheets(config)
    estimate = Estimate.of(
        (sheet.question().messages for sheet in sheets),
        max_tokens=config.evaluator.answer_tokens,
        prices=endpoint_prices(config.evaluator, config.budget_usd),
    )
    if config.dry_run:
        return dry_result(estimate, config.budget_usd)
    tell_estimate(estimate, config.budget_usd, console)
    accounts = Accounts(total=len(sheets), max_unanswered=config.max_unanswered)
    grades = asyncio.run(_grade(config, sheets, estimate, accounts, out, console))
    write_records(out / "grades.jsonl", grades)
    figures = ratings(grades) if config.grading == "single" else wins(grades)
    result: Json = {
        "grading": config.grading,
        "evaluator": config.evaluator.model,
        **figures.model_dump(),
        "states": dict(sorted(accounts.states.items())),
        **accounts.spent(),
        "estimate": estimate.to_json(),
        "file": str(out / "grades.jsonl"),
    }
    if config.grading == "pairwise":
        result["orders_differ"] = disagreement(grades)
    write_json(out / "mt_bench.json", result)
    return result


def _read_sheets(config: MtBenchConfig) -> list[Sheet]:
    """All that is to be graded, question by question."""
    questions = read_questions(config.questions)
    candidate = read_answers(questions, config.candidate)
    forms = (
        own_forms(config.grading)
        if config.template is None
        else read_forms(config.template, config.grading)
    )
    baseline: Sequence[Answers | None] = [None] * len(questions)
    if config.baseline:
        baseline = read_answers(questions, config.baseline)
    rows = zip(questions, candidate, baseline, strict=True)
    return [sheet for row in rows for sheet in _sheets(*row, forms=forms)]


def _sheets(
    question: BenchQuestion,
    candidate: Answers,
    baseline: Answers | None,
    *,
    forms: Forms,
) -> Iterator[Sheet]:
    """Both turns of a question, in each order in which they are shown."""
    for turn in (1, 2):
        references = question.references(turn)
        if (form := forms.get((turn, bool(references)))) is None:
            name = "first_reference" if turn == 1 else "second_reference"
            raise UsageError(
                f"the template has no {name}, which question {question.question_id}"
                f" ({question.category}) needs for its reference"
            )
        texts = {f"question_{n + 1}": question.turns[n] for n in range(turn)}
        for n, reference in enumerate(references):
            texts[f"reference_{n + 1}"] = reference
        place = (question.question_id, question.category, turn)
        if baseline is None:
            yield Sheet(*place, "", form, texts | _shown(turn, answer=candidate))
            continue
        ab = _shown(turn, answer_a=baseline, answer_b=candidate)
        ba = _shown(turn, answer_a=candidate, answer_b=baseline)
        yield Sheet(*place, "ab", form, texts | ab)
        yield Sheet(*place, "ba", form, texts | ba)


def _shown(turn: int, **sides: Answers) -> dict[str, str]:
    """The answers up to a turn, by the names of their holes."""
    return {
        f"{name}_{n + 1}": answers.turns[n]
        for name, answers in sides.items()
        for n in range(turn)
    }


async def _grade(
    config: MtBenchConfig,
    sheets: Sequence[Sheet],
    estimate: Estimate,
    accounts: Accounts,
    out: Path,
    console: Console,
) -> list[Grade]:
    """The grade of every sheet, in order."""
    grades: list[Grade] = []
    async with open_endpoint(
        config.evaluator, out=out, budget_usd=config.budget_usd
    ) as asker:
        shown = [(s.item, s.template_hash) for s in (x.question() for x in sheets)]
        texts = [dict(sheet.texts) for sheet in sheets]
        claim(out, config, inputs=content_hash(shown, texts))
        tell_endpoints([config.evaluator], console)
        run_of_grades = in_order(
            sheets,
            Grader(asker=asker).grade,
            workers=workers_for(config.evaluator),
            stop=asker.stop,
        )
        async with aclosing(run_of_grades):
            async for grade in run_of_grades:
                accounts.add_grade(grade)
                grades.append(grade)
                note = spending(asker.budget, estimate)
                console.update("grades", accounts.done, len(sheets), note)
    accounts.check()
    return grades


def show(result: Json, out: Path) -> None:
    """Prints the figures by turn and category, and the price, or the estimate."""
    if "dry_run" in result:
        show_dry(result)
        return
    unit = " %" if result["grading"] == "pairwise" else ""
    what = "won" if unit else "rating"
    rows = {f"{what} by {result['evaluator']}": result["overall"]}
    rows |= {f"  turn {turn}": mean for turn, mean in result["turns"].items()}
    rows |= {f"  {name}": mean for name, mean in result["categories"].items()}
    for name, mean in rows.items():
        error = mean["standard_error"]
        told = "" if error is None else f" (standard error {error:.2f})"
        dropped = f", {mean['n_dropped']} dropped" if mean["n_dropped"] else ""
        print(f"{name}: {mean['mean']:.2f}{unit}{told}, {mean['n']} turns{dropped}")
    if result.get("orders_differ") is not None:
        print(f"the orders differ on {100 * result['orders_differ']:.1f} % of turns")
    show_spent(result)
    print(f"written to {out / 'mt_bench.json'}")
