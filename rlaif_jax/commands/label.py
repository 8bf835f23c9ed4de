"""`label`: a critic judges comparisons, and sealed shards come out one by one."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path

from rlaif_jax.commands import audit
from rlaif_jax.commands.batching import ask_ahead, price_share
from rlaif_jax.commands.canaries import label_canaries
from rlaif_jax.commands.comparing import read_comparisons
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
from rlaif_jax.commands.judging import Judge, inputs_hash, open_judge
from rlaif_jax.commands.label_ray import ray_engine, require_no_books
from rlaif_jax.commands.sealing import Engine, Sealer, Work, block_ends
from rlaif_jax.config import AuditConfig, LabelConfig
from rlaif_jax.config_endpoints import asked_critics
from rlaif_jax.data.manifest import Manifest
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.files import write_json
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.estimate import Estimate
from rlaif_jax.labeling.pipeline import Progress, label_all
from rlaif_jax.labeling.planting import Planted, planted
from rlaif_jax.records import Label, Verdict
from rlaif_jax.run_folder import claim
from rlaif_jax.typing import Json


def run(config: LabelConfig, out: Path, console: Console) -> Json:
    """Labels every comparison once, and seals a shard a block of the input."""
    result = asyncio.run(_run(config, out, console))
    if config.audit and not config.dry_run:
        audited = audit.run(AuditConfig(labels=out), out / "audit", console)
        result["audit"] = audited["page"]
    return result


async def _run(config: LabelConfig, out: Path, console: Console) -> Json:
    compared = read_comparisons(
        config.prompts, config.splits, (config.first, config.second, *config.others)
    )
    comparisons = compared.comparisons
    canaries = planted(comparisons, config.canaries)
    estimate = judging_estimate(
        config.critic,
        comparisons,
        canaries=[one.comparison for one in canaries],
        orders=config.orders,
        budget_usd=config.budget_usd,
        price_share=price_share(config),
    )
    if config.dry_run:
        return dry_result(estimate, config.budget_usd)
    accounts = Accounts(total=len(comparisons), max_unanswered=config.max_unanswered)
    ends = block_ends(comparisons, config)
    async with _ENGINES[config.engine](config, out) as engine:
        claim(out, config, inputs=inputs_hash(config.critic, comparisons))
        tell_estimate(estimate, config.budget_usd, console)
        tell_endpoints(asked_critics(config.critic), console)
        with ShardWriter(out) as shards:
            sealer = Sealer(shards, config, splits=compared.splits, ends=ends)
            for label in sealer.sealed_labels():
                accounts.add_label(label)
            work = Work(comparisons, ends, lambda: len(shards.manifest.entries))
            told = await engine.begin(work, canaries, accounts, console.say)
            run_of_labels = engine.labels(
                work,
                accounts=accounts,
                progress=lambda now: console.update(
                    "labels",
                    now.done,
                    now.total,
                    spending(engine.budget, estimate) + _counts(now, console.watch),
                ),
            )
            async with aclosing(run_of_labels):
                async for label in run_of_labels:  # counted when it comes
                    if not accounts.is_short:  # else a later run seals from here on
                        sealer.take(comparisons[accounts.done - 1], label)
            sealer.finish()
            manifest = shards.manifest
    result = _result(accounts, estimate, manifest)
    if told is not None:
        result["canaries"] = told
        for key in accounts.spent():  # the estimate counts them, too
            result[key] += told[key]
    result["unusable"] = compared.num_unusable
    write_json(out / "label.json", result)
    return result


class _Local:
    """Judges in this process."""

    def __init__(self, config: LabelConfig, judge: Judge, out: Path):
        self.budget = judge.budget
        self._config = config
        self._judge = judge
        self._out = out

    async def begin(
        self,
        work: Work,
        canaries: Sequence[Planted],
        accounts: Accounts,
        tell: Callable[[str], None],
    ) -> Json | None:
        """Probes, has batches asked if the config wants it, and judges canaries."""
        for outcome in await self._judge.probed():
            accounts.add_probe(outcome)
        left = work.comparisons[work.start :]
        asked = itertools.chain.from_iterable
        await ask_ahead(
            self._config,
            askers=self._judge.askers,
            posed=lambda: asked(
                map(
                    self._judge.critic.questions,
                    itertools.chain(left, (one.comparison for one in canaries)),
                )
            ),
            out=self._out,
            tell=tell,
        )
        if not canaries:
            return None
        return await label_canaries(canaries, self._judge, self._out)

    def labels(
        self, work: Work, *, accounts: Accounts, progress: Progress
    ) -> AsyncGenerator[Label, None]:
        """The labels of all that is not sealed, in order."""
        return label_all(
            work.comparisons[work.start :],
            critic=self._judge.critic,
            workers=self._judge.workers,
            stop=self._judge.stop,
            accounts=accounts,
            progress=progress,
        )


@asynccontextmanager
async def _local(config: LabelConfig, out: Path) -> AsyncIterator[Engine]:
    require_no_books(out, config.engine)
    async with open_judge(
        config.critic, orders=config.orders, out=out, budget_usd=config.budget_usd
    ) as judge:
        yield _Local(config, judge, out)


_ENGINES: dict[str, Callable[..., AbstractAsyncContextManager[Engine]]] = {
    "local": _local,
    "batch": _local,  # whose calls find their answers in the ledger
    "ray": ray_engine,
}


def _counts(accounts: Accounts, watch: bool) -> str:
    """What stands beside the price: with --watch every count."""
    counts = {**accounts.verdicts, **accounts.states} if watch else {}
    return "".join(f" {name}={count}" for name, count in sorted(counts.items()))


def _result(accounts: Accounts, estimate: Estimate, manifest: Manifest) -> Json:
    return {
        "comparisons": accounts.done,
        "labels": {v.value: accounts.verdicts[v.value] for v in Verdict},
        "states": dict(sorted(accounts.states.items())),
        "pairs": manifest.num_rows,
        "shards": len(manifest.entries),
        **accounts.spent(),
        "estimate": estimate.to_json(),
    }


def show(result: Json, out: Path) -> None:
    """Prints the verdicts, the pairs and the price, or the estimate of a dry run."""
    if "dry_run" in result:
        show_dry(result)
        return
    counts = ", ".join(f"{name} {count}" for name, count in result["labels"].items())
    print(f"{result['comparisons']} comparisons: {counts}")
    print(f"{result['pairs']} pairs in {result['shards']} shards: {out}")
    if "canaries" in result:
        print(f"{result['canaries']['comparisons']} canaries: see `audit`")
    show_spent(result)
    if "audit" in result:
        print(f"what they say about the critic: {result['audit']}")
