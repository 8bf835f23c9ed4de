"""`evaluate`: win rate of completions against a baseline."""

import asyncio
from contextlib import aclosing
from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.estimating import (
    dry_result,
    judging_estimate,
    show_dry,
    show_spent,
    spending,
    tell_endpoints,
    tell_estimate,
)
from rlaif_jax.commands.inputs import (
    build_comparisons,
    nth_completions,
    read_prompts,
)
from rlaif_jax.commands.judging import inputs_hash, open_judge
from rlaif_jax.config import EvaluateConfig
from rlaif_jax.config_parts import asked_critics
from rlaif_jax.evaluation.annotations import read_outcomes
from rlaif_jax.evaluation.paired import paired_test
from rlaif_jax.evaluation.power import power
from rlaif_jax.evaluation.win_rate import OUTCOMES, from_annotations, from_outcomes
from rlaif_jax.files import read_records, write_json, write_records
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.estimate import Estimate
from rlaif_jax.labeling.pipeline import label_all
from rlaif_jax.provenance import write_run_info
from rlaif_jax.records import Comparison, JudgedCompletion, Label, Prompt, Verdict
from rlaif_jax.run_folder import claim
from rlaif_jax.typing import Json


def run(config: EvaluateConfig, out: Path, console: Console) -> Json:
    """Judges every completion against the baseline's, or reads recorded verdicts."""
    if config.recorded is not None:
        write_run_info(out, config)
        result: Json = from_annotations(config.recorded).model_dump()
        won = {} if config.against is None else read_outcomes(config.recorded)
    else:
        prompts, comparisons = compared(config)
        estimate = _estimate(config, comparisons)
        if config.dry_run:
            return dry_result(estimate, config.budget_usd)
        tell_estimate(estimate, config.budget_usd, console)
        labels, accounts = asyncio.run(
            _judge(config, comparisons, estimate, out, console)
        )
        judged = [
            JudgedCompletion(
                prompt_id=prompt.prompt_id, won=OUTCOMES[label.verdict], label=label
            )
            for prompt, label in zip(prompts, labels, strict=True)
        ]
        write_records(out / "verdicts.jsonl", judged)
        won = {one.prompt_id: one.won for one in judged}
        result = from_outcomes(won.values()).model_dump() | accounts.spent()
        result["n_failed"] = accounts.verdicts[Verdict.FAILED.value]
        result["estimate"] = estimate.to_json()
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
        nth_completions(prompts, config.baseline),
        nth_completions(prompts, config.candidate),
    )


def _estimate(config: EvaluateConfig, comparisons: list[Comparison]) -> Estimate:
    """What judging them will take."""
    assert config.evaluator is not None
    return judging_estimate(
        config.evaluator,
        comparisons,
        orders=config.orders,
        budget_usd=config.budget_usd,
    )


async def _judge(
    config: EvaluateConfig,
    comparisons: list[Comparison],
    estimate: Estimate,
    out: Path,
    console: Console,
) -> tuple[list[Label], Accounts]:
    """The label of every comparison, in order."""
    assert config.evaluator is not None
    accounts = Accounts(total=len(comparisons), max_unanswered=config.max_unanswered)
    async with open_judge(
        config.evaluator, orders=config.orders, out=out, budget_usd=config.budget_usd
    ) as judge:
        claim(out, config, inputs=inputs_hash(config.evaluator, comparisons))
        tell_endpoints(asked_critics(config.evaluator), console)
        for outcome in await judge.probed():
            accounts.add_probe(outcome)
        run_of_labels = label_all(
            comparisons,
            critic=judge.critic,
            workers=judge.workers,
            stop=judge.stop,
            accounts=accounts,
            progress=lambda now: console.update(
                "verdicts", now.done, now.total, spending(judge.budget, estimate)
            ),
        )
        async with aclosing(run_of_labels):
            labels = [label async for label in run_of_labels]
    return labels, accounts


def _outcomes(path: Path) -> dict[str, float | None]:
    """What another policy won: of an evaluate folder, or of an annotation file."""
    if path.is_file():
        return read_outcomes(path)
    judged = read_records(path / "verdicts.jsonl", JudgedCompletion)
    return {one.prompt_id: one.won for one in judged}


def show(result: Json, out: Path) -> None:
    """Prints the win rate, the paired difference and the price, or the estimate."""
    if "dry_run" in result:
        show_dry(result)
        return
    print(
        f"win rate {result['win_rate']:.2f} % (standard error"
        f" {result['standard_error']:.2f}), {result['n_wins']} wins and"
        f" {result['n_draws']} draws of {result['n_total']}"
    )
    if result.get("n_failed"):
        print(f"{result['n_failed']} without a verdict, left out")
    if "against" in result:
        _show_test(result["against"])
    if "estimate" in result:
        show_spent(result)
    print(f"written to {out / 'win_rate.json'}")


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
