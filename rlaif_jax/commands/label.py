"""`label`: a critic judges comparisons, and sealed shards come out one by one."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

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
from rlaif_jax.commands.judging import open_judge
from rlaif_jax.config import LabelConfig
from rlaif_jax.config_parts import asked_critics
from rlaif_jax.data.manifest import Manifest
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.files import read_records, write_json, write_records
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.candidates import best_against_worst
from rlaif_jax.labeling.estimate import Estimate
from rlaif_jax.labeling.pipeline import label_all
from rlaif_jax.labeling.planting import planted
from rlaif_jax.records import (
    Comparison,
    Completion,
    Label,
    Message,
    Preference,
    Verdict,
)
from rlaif_jax.run_folder import claim
from rlaif_jax.typing import Json


def run(config: LabelConfig, out: Path, console: Console) -> Json:
    """Labels every comparison once, and seals a shard a block of the input."""
    return asyncio.run(_run(config, out, console))


async def _run(config: LabelConfig, out: Path, console: Console) -> Json:
    compared = read_comparisons(
        config.prompts, config.splits, (config.first, config.second, *config.others)
    )
    comparisons = compared.comparisons
    canaries = planted(comparisons, config.canaries)
    planted_comparisons = [one.comparison for one in canaries]
    estimate = judging_estimate(
        config.critic,
        comparisons,
        canaries=planted_comparisons,
        orders=config.orders,
        budget_usd=config.budget_usd,
        price_share=price_share(config),
    )
    if config.dry_run:
        return dry_result(estimate, config.budget_usd)
    accounts = Accounts(total=len(comparisons), max_unanswered=config.max_unanswered)
    async with open_judge(
        config.critic, orders=config.orders, out=out, budget_usd=config.budget_usd
    ) as judge:
        claim(out, config, inputs=judge.inputs_hash(comparisons))
        tell_estimate(estimate, config.budget_usd, console)
        tell_endpoints(asked_critics(config.critic), console)
        for outcome in await judge.probed():
            accounts.add_probe(outcome)
        with ShardWriter(out) as shards:
            sealer = _Sealer(shards, config, compared.splits)
            for label in sealer.sealed_labels():
                accounts.add_label(label)
            left = comparisons[accounts.done :]
            await ask_ahead(
                config,
                askers=judge.askers,
                posed=lambda: itertools.chain.from_iterable(
                    map(
                        judge.critic.questions,
                        itertools.chain(left, planted_comparisons),
                    )
                ),
                out=out,
                tell=console.say,
            )
            told = await label_canaries(canaries, judge, out) if canaries else None
            run_of_labels = label_all(
                left,
                critic=judge.critic,
                workers=judge.workers,
                stop=judge.stop,
                accounts=accounts,
                progress=lambda now: console.update(
                    "labels",
                    now.done,
                    now.total,
                    spending(judge.budget, estimate) + _counts(now, console.watch),
                ),
            )
            async with aclosing(run_of_labels):
                async for label in run_of_labels:  # counted when it comes
                    if not accounts.is_short:  # else a later run seals from here on
                        place = accounts.done - 1
                        sealer.take(comparisons[place : place + 2], label)
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


class _Sealer:
    """Seals a shard whenever a block of the input is labeled.

    The labels of a block lie beside its shard, in `labels/`. Once it is sealed they
    are final: a comparison that failed in it is not asked again, or the same shard
    would mean another thing tomorrow. A prompt with more than two candidates has all
    its comparisons in one block.
    """

    def __init__(
        self, shards: ShardWriter, config: LabelConfig, splits: dict[str, str]
    ):
        self._shards = shards
        self._size = config.comparisons_per_shard
        self._keeps_prompts_whole = bool(config.others)
        self._pairs = config.pairs
        self._splits = splits
        self._block: list[tuple[Comparison, Label]] = []

    def sealed_labels(self) -> Iterator[Label]:
        """The labels of every block that an earlier run sealed."""
        for block in range(len(self._shards.manifest.entries)):
            yield from read_records(self._labels_file(block), Label)

    def take(self, comparisons: Sequence[Comparison], label: Label) -> None:
        """Adds the label of the first comparison; the second one, if any, is next."""
        self._block.append((comparisons[0], label))
        prompt_goes_on = len({one.prompt_id for one in comparisons}) < len(comparisons)
        if len(self._block) >= self._size and not (
            self._keeps_prompts_whole and prompt_goes_on
        ):
            self._seal()

    def finish(self) -> None:
        """Seals what is left, and says that no shard follows."""
        if self._block:
            self._seal()
        self._shards.finish()

    def _seal(self) -> None:
        block = len(self._shards.manifest.entries)
        write_records(self._labels_file(block), [label for _, label in self._block])
        chosen = self._block
        if self._pairs == "best_worst":
            groups = itertools.groupby(chosen, key=lambda one: one[0].prompt_id)
            chosen = [pair for _, one in groups for pair in best_against_worst([*one])]
        self._shards.add(decided(chosen, self._splits))
        self._block = []

    def _labels_file(self, block: int) -> Path:
        return self._shards.manifest.folder / "labels" / f"{block:06d}.jsonl"


def decided(
    block: Sequence[tuple[Comparison, Label]], splits: dict[str, str]
) -> list[Preference]:
    """The preferences of a block; ties and failures are none.

    Args:
      block: Comparisons with their labels.
      splits: Prompt id to its split.
    """
    return [
        _preference(comparison, label, splits[comparison.prompt_id])
        for comparison, label in block
        if label.verdict in (Verdict.FIRST, Verdict.SECOND)
    ]


def _preference(comparison: Comparison, label: Label, split: str) -> Preference:
    chosen, rejected = comparison.first, comparison.second
    p_chosen = label.p_first
    assert p_chosen is not None  # a decided label has one
    if label.verdict is Verdict.SECOND:
        chosen, rejected, p_chosen = rejected, chosen, 1.0 - p_chosen
    return Preference(
        prompt=comparison.messages,
        chosen=_turn(chosen),
        rejected=_turn(rejected),
        pair_id=comparison.pair_id,
        prompt_id=comparison.prompt_id,
        chosen_generator=chosen.generator,
        rejected_generator=rejected.generator,
        p_chosen=p_chosen,
        verdict_both_orders=label.verdict_both_orders,
        critic=label.critic,
        critic_returned_model=label.critic_returned_model,
        template_hash=label.template_hash,
        label_cost_usd=label.cost_usd,
        chosen_finish_reason=chosen.finish_reason,
        rejected_finish_reason=rejected.finish_reason,
        split=split,
    )


def _turn(completion: Completion) -> tuple[Message, ...]:
    return (Message(role="assistant", content=completion.text),)


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
