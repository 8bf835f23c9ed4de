"""`evaluate`: win rate of completions against a baseline."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.estimating import (
    dry_result,
    show_dry,
    show_spent,
    tell_estimate,
)
from rlaif_jax.commands.evaluating import (
    Judged,
    evaluation_estimate,
    evaluator_folder,
    judge_all,
    total_spent,
)
from rlaif_jax.commands.inputs import (
    build_comparisons,
    evaluated_completions,
    read_prompts,
)
from rlaif_jax.config import EvaluateConfig
from rlaif_jax.config_parts import LengthControl
from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.annotations import outcome, read_outcomes, read_rows
from rlaif_jax.evaluation.delegated import delegated, require_delegate
from rlaif_jax.evaluation.export import annotation_rows, model_output_rows
from rlaif_jax.evaluation.length_control import NUM_FOLDS, length_controlled
from rlaif_jax.evaluation.paired import paired_test
from rlaif_jax.evaluation.power import power
from rlaif_jax.evaluation.win_rate import OUTCOMES, from_annotations, from_outcomes
from rlaif_jax.files import read_records, write_json, write_json_list, write_records
from rlaif_jax.labeling.panel import panel_measures
from rlaif_jax.provenance import write_run_info
from rlaif_jax.records import Comparison, JudgedCompletion, Label, Prompt, Verdict
from rlaif_jax.typing import Json, Number


def run(config: EvaluateConfig, out: Path, console: Console) -> Json:
    """Judges every completion against the baseline's, or reads recorded verdicts."""
    if config.recorded is not None:
        write_run_info(out, config)
        result: Json = from_annotations(config.recorded).model_dump()
        rows = read_rows(config.recorded)
        result["length_controlled"] = _length_controlled(rows, config.length_control)
        won = {} if config.against is None else read_outcomes(config.recorded)
    else:
        _, comparisons = compared(config)
        estimate = evaluation_estimate(config, comparisons)
        if config.length_control == "alpaca_eval":
            require_delegate(model_output_rows(comparisons))
        if config.dry_run:
            return dry_result(estimate, config.budget_usd)
        tell_estimate(estimate, config.budget_usd, console)
        judged = asyncio.run(judge_all(config, comparisons, estimate, out, console))
        write_json_list(out / "model_outputs.json", model_output_rows(comparisons))
        told = [
            _told(
                one, comparisons, config.length_control, evaluator_folder(out, number)
            )
            for number, one in enumerate(judged)
        ]
        result = {**told[0], **total_spent(judged), "estimate": estimate.to_json()}
        if len(judged) > 1:
            result["evaluators"] = told
            result["agreement"] = _agreement(judged)
        won = _won(comparisons, judged[0])
    if config.against is not None:
        test = paired_test(won, _outcomes(config.against))
        result["against"] = {
            "folder": str(config.against),
            **test.model_dump(),
            "power": power(test.difference).model_dump(),
        }
    write_json(out / "win_rate.json", result)
    return result


def compared(config: EvaluateConfig) -> tuple[list[Prompt], list[Comparison]]:
    """The prompts, and the comparison of each; the candidate is second."""
    assert config.prompts is not None  # the config's validator saw to these
    assert config.candidate is not None
    assert config.baseline is not None
    prompts = read_prompts(config.prompts, config.splits)
    return prompts, build_comparisons(
        prompts,
        evaluated_completions(prompts, config.baseline),
        evaluated_completions(prompts, config.candidate),
    )


def _told(
    judged: Judged, comparisons: Sequence[Comparison], control: LengthControl, out: Path
) -> Json:
    """What one evaluator's verdicts come to; writes them."""
    write_records(
        out / "verdicts.jsonl",
        [
            JudgedCompletion(
                prompt_id=one.prompt_id, won=OUTCOMES[label.verdict], label=label
            )
            for one, label in zip(comparisons, judged.labels, strict=True)
        ],
    )
    rows = annotation_rows(comparisons, judged.labels)
    write_json_list(out / "annotations.json", rows)
    result: Json = {
        "evaluator": judged.name,
        **from_outcomes(_won(comparisons, judged).values()).model_dump(),
        "n_failed": judged.accounts.verdicts[Verdict.FAILED.value],
        "length_controlled": _length_controlled(rows, control),
        "annotations": str(out / "annotations.json"),
    }
    if any(label.jurors for label in judged.labels):
        result["votes"] = _panel(judged.labels)
    return result


def _won(comparisons: Sequence[Comparison], judged: Judged) -> dict[str, float | None]:
    """What the candidate won on every prompt."""
    labels = zip(comparisons, judged.labels, strict=True)
    return {one.prompt_id: OUTCOMES[label.verdict] for one, label in labels}


def _length_controlled(rows: Sequence[Json], control: LengthControl) -> Json | None:
    """The length-controlled win rate.

    Returns:
      None if it is not wanted, or if the design of ours cannot tell: an annotation
      file without texts, or too few verdicts.
    """
    if control == "none":
        return None
    has_texts = all({"output_1", "output_2"} <= row.keys() for row in rows)
    if control == "alpaca_eval":
        if not has_texts:
            raise UsageError("length_control=alpaca_eval needs output_1 and output_2")
        return delegated(rows).model_dump()
    won: list[Number | None] = [outcome(row["preference"]) for row in rows]
    if not has_texts or sum(one is not None for one in won) < NUM_FOLDS:
        return None
    excess = [len(row["output_2"]) - len(row["output_1"]) for row in rows]
    return length_controlled(won, excess).model_dump()


def _agreement(judged: Sequence[Judged]) -> Json:
    """How far evaluators agree, each as one voice."""
    labels = [
        said[0].model_copy(
            update={
                "jurors": tuple(
                    label.model_copy(update={"critic": str(seat), "jurors": ()})
                    for seat, label in enumerate(said)
                )
            }
        )
        for said in zip(*(one.labels for one in judged), strict=True)
    ]
    panel = _panel(labels)
    return {"share": panel["juror_agreement"], "alpha": panel["alpha"]}


def _panel(labels: Sequence[Label]) -> Json:
    """What votes and jurors say beside one another."""
    measures = panel_measures(labels, np.arange(len(labels)))
    return {
        name: None if measure is None else measure.model_dump()
        for name, measure in measures.items()
    }


def _outcomes(path: Path) -> dict[str, float | None]:
    """What another policy won: of an evaluate folder, or of an annotation file."""
    if path.is_file():
        return read_outcomes(path)
    judged = read_records(path / "verdicts.jsonl", JudgedCompletion)
    return {one.prompt_id: one.won for one in judged}


def show(result: Json, out: Path) -> None:
    """Prints the win rates, the paired difference and the price, or the estimate."""
    if "dry_run" in result:
        show_dry(result)
        return
    for told in result.get("evaluators", [result]):
        _show_rate(told)
    if "agreement" in result:
        _show_share("evaluators agree on", result["agreement"]["share"])
    if "against" in result:
        _show_test(result["against"])
    if "estimate" in result:
        show_spent(result)
    print(f"written to {out / 'win_rate.json'}")


def _show_rate(result: Json) -> None:
    whose = f"{result['evaluator']}: " if "evaluator" in result else ""
    print(
        f"{whose}win rate {result['win_rate']:.2f} % (standard error"
        f" {result['standard_error']:.2f}), {result['n_wins']} wins and"
        f" {result['n_draws']} draws of {result['n_total']}"
    )
    if (controlled := result["length_controlled"]) is not None:
        print(
            f"at equal length {controlled['win_rate']:.2f} % (standard error"
            f" {controlled['standard_error']:.2f}; {controlled['design']})"
        )
    if result.get("n_failed"):
        print(f"{result['n_failed']} without a verdict, left out")
    if "votes" in result:
        _show_share("votes of one model differ in", result["votes"]["repeat_flips"])
        _show_share("jurors agree on", result["votes"]["juror_agreement"])


def _show_share(what: str, measure: Json | None) -> None:
    """Prints a share, if there is one."""
    if measure is not None:
        low, high = 100 * measure["low"], 100 * measure["high"]
        print(
            f"{what} {100 * measure['value']:.1f} % of pairs of verdicts"
            f" ({low:.1f} to {high:.1f}, 95 %)"
        )


def _show_test(test: Json) -> None:
    difference = test["difference"]
    print(
        f"against {test['folder']}: {test['win_rate_a']:.2f} % to"
        f" {test['win_rate_b']:.2f} %, difference {difference['value']:+.2f}"
        f" ({difference['low']:+.2f} to {difference['high']:+.2f}, 95 %) points on"
        f" {difference['n_prompts']} prompts"
    )
    again = test["bootstrap"]
    print(f"bootstrap over prompts: {again['low']:+.2f} to {again['high']:+.2f}")
    print(
        f"better on {test['n_better']}, worse on {test['n_worse']}: p ="
        f" {test['p_value']:.2g}, exact sign test"
    )
    able = test["power"]
    print(
        f"a true difference of {able['difference']:g} points would be seen by"
        f" {100 * able['power']:.0f} % of such comparisons; by 80 % with"
        f" {able['prompts']:,} prompts"
    )
