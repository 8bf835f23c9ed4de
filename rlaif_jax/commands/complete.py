"""`complete`: a teacher writes."""

import asyncio
import itertools
from pathlib import Path

from rlaif_jax.commands.answering import texts_of
from rlaif_jax.commands.batching import ask_ahead, price_share
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.estimating import (
    dry_result,
    show_dry,
    show_spent,
    spending,
    tell_endpoints,
    tell_estimate,
    writing_estimate,
)
from rlaif_jax.commands.inputs import read_prompts
from rlaif_jax.commands.judging import open_writer
from rlaif_jax.config import CompleteConfig
from rlaif_jax.files import write_json, write_records
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.teacher import draws
from rlaif_jax.records import content_hash
from rlaif_jax.run_folder import claim
from rlaif_jax.typing import Json


def run(config: CompleteConfig, out: Path, console: Console) -> Json:
    """Asks for every prompt's completions, and writes them in prompt order."""
    return asyncio.run(_run(config, out, console))


async def _run(config: CompleteConfig, out: Path, console: Console) -> Json:
    prompts = read_prompts(config.prompts, config.splits)
    estimate = writing_estimate(
        config.teacher,
        draws(prompts, config.samples),
        seed=config.seed,
        budget_usd=config.budget_usd,
        price_share=price_share(config),
    )
    if config.dry_run:
        return dry_result(estimate, config.budget_usd)
    accounts = Accounts(
        total=len(prompts) * config.samples, max_unanswered=config.max_unanswered
    )
    async with open_writer(
        config.teacher,
        generator=config.generator,
        seed=config.seed,
        out=out,
        budget_usd=config.budget_usd,
    ) as writer:
        claim(out, config, inputs=content_hash([p.prompt_id for p in prompts]))
        tell_estimate(estimate, config.budget_usd, console)
        tell_endpoints([config.teacher], console)
        await ask_ahead(
            config,
            askers=writer.askers,
            posed=lambda: itertools.chain.from_iterable(
                map(writer.teacher.questions, draws(prompts, config.samples))
            ),
            out=out,
            tell=console.say,
        )
        completions = await texts_of(
            writer,
            draws(prompts, config.samples),
            accounts=accounts,
            progress=lambda now: console.update(
                "completions", now.done, now.total, spending(writer.budget, estimate)
            ),
        )
        if writer.ledger is not None:
            accounts.calls = writer.ledger.num_calls
    write_records(out / "completions.jsonl", completions)
    result = {
        "completions": accounts.done,
        "finish_reasons": dict(sorted(accounts.states.items())),
        **accounts.spent(),
        "estimate": estimate.to_json(),
        "file": str(out / "completions.jsonl"),
    }
    write_json(out / "completions.json", result)
    return result


def show(result: Json, out: Path) -> None:
    """Prints the counts and the price, or the estimate of a dry run."""
    del out
    if "dry_run" in result:
        show_dry(result)
        return
    ends = ", ".join(f"{k} {v}" for k, v in result["finish_reasons"].items())
    print(f"{result['completions']} completions ({ends}): {result['file']}")
    show_spent(result)
