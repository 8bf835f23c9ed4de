"""One block of comparisons as a task on any machine: the same pipeline, lent money."""

import contextlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rlaif_jax import __version__
from rlaif_jax.commands.judging import Judge, lend_judge, template_hashes
from rlaif_jax.config_endpoints import CriticConfig, JuryConfig, Orders
from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.attempts import (
    BlockLedger,
    attempt_folder,
    block_name,
    new_attempt,
    read_attempts,
    unfinished_name,
)
from rlaif_jax.labeling.budget import Budget
from rlaif_jax.labeling.governor import Orders as TaskOrders
from rlaif_jax.labeling.governor import Report
from rlaif_jax.labeling.objects import Objects, open_objects
from rlaif_jax.labeling.pipeline import in_order
from rlaif_jax.labeling.tether import LeasedBudget, Tether
from rlaif_jax.records import Comparison, Label


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockJob:
    """What the tasks of a run have in common; holds the names of keys, no keys.

    Attributes:
      critic: Who judges.
      orders: Of each comparison.
      storage: Where tasks meet; see `open_objects`.
      budget_usd: What all may spend together.
      template_hashes: Of the questions, as the driver reads them.
      version: The driver's, of this package.
    """

    critic: CriticConfig | JuryConfig
    orders: Orders
    storage: str
    budget_usd: float | None
    template_hashes: tuple[str, ...]
    version: str


class GovernorLink(Protocol):
    """The way to the governor, wherever it lives."""

    def sync(self, report: Report) -> Awaitable[TaskOrders]:
        """What a task may do from now on."""
        ...

    def close(self, attempt: str, spent_usd: float) -> Awaitable[None]:
        """Counts an attempt out."""
        ...


async def label_block(
    job: BlockJob,
    block: int,
    comparisons: Sequence[Comparison],
    governor: GovernorLink,
) -> str:
    """Judges a block, unless that is done; returns the name of its labels.

    Answers that earlier attempts have paid for are read from their logs. Labels that
    all have an answer are final: they are written once, whoever is first.

    Args:
      job: What all tasks have in common.
      block: The block's number.
      comparisons: Its comparisons.
      governor: Who says what may be spent and asked.

    Raises:
      CommandError: If the critic can judge nothing more, or the run is stopping.
    """
    _check_version(job)
    _check_templates(job)
    objects = open_objects(job.storage)
    name = block_name(block)
    if objects.read(name) is not None:
        return name
    earlier = read_attempts(objects, block)
    attempt = new_attempt(len(earlier))
    ledger = BlockLedger(objects.new_log(attempt_folder(block, attempt)), earlier)
    await ledger.begin()
    budget = _budget(job.budget_usd)
    labels: list[Label] = []
    try:
        async with lend_judge(
            job.critic,
            orders=job.orders,
            ledger=ledger,
            budget=budget,
            budget_usd=job.budget_usd,
        ) as judge:
            tether = Tether(
                block=block,
                attempt=attempt,
                askers=judge.askers,
                budget=budget,
                ledger=ledger,
                backlog=lambda: len(comparisons) - len(labels),
                report=governor.sync,
            )
            async with tether.held():
                await _judge(comparisons, judge, labels)
    finally:
        await ledger.end()
        await governor.close(attempt, budget.spent_usd)
    return _commit(objects, block, attempt, labels)


async def _judge(
    comparisons: Sequence[Comparison], judge: Judge, labels: list[Label]
) -> None:
    """Adds the label of every comparison, in order."""
    workers = min(judge.workers, len(comparisons))
    run = in_order(comparisons, judge.critic.judge, workers=workers, stop=judge.stop)
    async with contextlib.aclosing(run):
        async for label in run:
            labels.append(label)


def _commit(objects: Objects, block: int, attempt: str, labels: Sequence[Label]) -> str:
    """Writes the labels, and returns their name; the first attempt's are final."""
    content = "".join(label.model_dump_json() + "\n" for label in labels).encode()
    if any(label.state == "failed" for label in labels):
        name = unfinished_name(block, attempt)
    else:
        name = block_name(block)
    objects.put_if_absent(name, content)
    return name


def _budget(budget_usd: float | None) -> Budget:
    """What a task may spend: what it is told, or anything."""
    if budget_usd is None:
        return Budget(limit_usd=None)
    return LeasedBudget(of_usd=budget_usd)


def _check_version(job: BlockJob) -> None:
    """Refuses to label as another version would."""
    if job.version != __version__:
        raise UsageError(
            f"this node has rlaif_jax {__version__} and the driver {job.version}:"
            " install the same on every node"
        )


def _check_templates(job: BlockJob) -> None:
    """Refuses to ask another question than the driver would."""
    if template_hashes(job.critic) != job.template_hashes:
        raise UsageError(
            "this node reads another template than the driver: copy the template's"
            " file to every node"
        )
