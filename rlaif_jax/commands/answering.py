"""Has a judge or a writer that was opened do all that it is to do."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing

from rlaif_jax.commands.judging import Judge, Writer
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.pipeline import Progress, complete_all, label_all
from rlaif_jax.labeling.teacher import Draw
from rlaif_jax.records import Comparison, Completion, Label


async def labels_of(
    judge: Judge,
    comparisons: Sequence[Comparison],
    *,
    accounts: Accounts,
    progress: Progress | None = None,
) -> list[Label]:
    """The label of every comparison, in order; its server is probed before.

    Raises:
      CommandError: As `label_all`.
    """
    for outcome in await judge.probed():
        accounts.add_probe(outcome)
    run = label_all(
        comparisons,
        critic=judge.critic,
        workers=judge.workers,
        stop=judge.stop,
        accounts=accounts,
        progress=progress,
    )
    async with aclosing(run):
        return [label async for label in run]


async def texts_of(
    writer: Writer,
    wanted: Iterable[Draw],
    *,
    accounts: Accounts,
    progress: Progress | None = None,
) -> list[Completion]:
    """The completion of every draw, in order.

    Raises:
      CommandError: As `complete_all`.
    """
    run = complete_all(
        wanted,
        teacher=writer.teacher,
        workers=writer.workers,
        stop=writer.stop,
        accounts=accounts,
        progress=progress,
    )
    async with aclosing(run):
        return [completion async for completion in run]
