"""The comparisons with a known answer that `label` asks about, beside the user's."""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from rlaif_jax.commands.judging import Judge
from rlaif_jax.files import write_records
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.pipeline import label_all
from rlaif_jax.labeling.planting import Canary, Planted
from rlaif_jax.typing import Json

FILE_NAME = "canaries.jsonl"


async def label_canaries(made: Sequence[Planted], judge: Judge, out: Path) -> Json:
    """Has the critic judge them, and writes what it said into the run folder.

    They are in no shard, and in no figure of the labels.

    Returns:
      How many there were, and what they cost.
    """
    accounts = Accounts(total=len(made), max_unanswered=len(made))
    labels = label_all(
        [one.comparison for one in made],
        critic=judge.critic,
        workers=judge.workers,
        stop=judge.stop,
        accounts=accounts,
    )
    async with aclosing(labels):
        found = [label async for label in labels]
    write_records(
        out / FILE_NAME,
        [
            Canary(kind=kind, prompt_id=comparison.prompt_id, label=label)
            for (kind, comparison), label in zip(made, found, strict=True)
        ],
    )
    return {"comparisons": accounts.done, **accounts.spent()}
