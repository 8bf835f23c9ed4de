"""From labels to sealed shards, a block of the input at a time."""

import itertools
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from rlaif_jax.config import LabelConfig
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.files import read_records, write_records
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.budget import Budget
from rlaif_jax.labeling.candidates import best_against_worst
from rlaif_jax.labeling.pipeline import Progress
from rlaif_jax.labeling.planting import Planted
from rlaif_jax.records import (
    Comparison,
    Completion,
    Label,
    Message,
    Preference,
    Verdict,
)
from rlaif_jax.typing import Json


class Work(NamedTuple):
    """What is to be labeled, and how far it is.

    Attributes:
      comparisons: The whole input, sealed or not.
      ends: As `block_ends` gives them.
      num_sealed: Tells how many blocks are sealed by now.
    """

    comparisons: Sequence[Comparison]
    ends: Sequence[int]
    num_sealed: Callable[[], int]

    @property
    def start(self) -> int:
        """The first comparison that is not sealed."""
        num_sealed = self.num_sealed()
        return self.ends[num_sealed - 1] if num_sealed else 0

    def block(self, number: int) -> Sequence[Comparison]:
        """The comparisons of one block."""
        start = self.ends[number - 1] if number else 0
        return self.comparisons[start : self.ends[number]]


class Engine(Protocol):
    """Whatever turns comparisons into labels.

    Attributes:
      budget: What has been spent.
    """

    budget: Budget

    async def begin(
        self,
        work: Work,
        canaries: Sequence[Planted],
        accounts: Accounts,
        tell: Callable[[str], None],
    ) -> Json | None:
        """Does what comes before the first label.

        Args:
          work: What is to be labeled.
          canaries: Comparisons to judge beside it.
          accounts: Counts what is paid before.
          tell: Says a line of news.

        Returns:
          What became of the canaries; None without any.

        Raises:
          CommandError: If nothing can be labeled.
        """
        ...

    def labels(
        self, work: Work, *, accounts: Accounts, progress: Progress
    ) -> AsyncGenerator[Label, None]:
        """The labels of all that is not sealed, in order.

        The caller seals a block before it asks for the label after it.

        Raises:
          CommandError: If nothing more can be labeled.
        """
        ...


def block_ends(comparisons: Sequence[Comparison], config: LabelConfig) -> list[int]:
    """Where each block of the input ends: the same for whoever labels it.

    A prompt with more than two candidates has all its comparisons in one block.

    Args:
      comparisons: The whole input.
      config: Of the run.

    Returns:
      The number of the first comparison after each block, the last one included.
    """
    size, total = config.comparisons_per_shard, len(comparisons)
    if not config.others:
        return [*range(size, total, size), total] if total else []
    ends: list[int] = []
    start = 0
    for number, one in enumerate(comparisons, start=1):
        is_last = number == total
        is_whole = is_last or comparisons[number].prompt_id != one.prompt_id
        if is_last or (number - start >= size and is_whole):
            ends.append(number)
            start = number
    return ends


class Sealer:
    """Seals a shard whenever a block of the input is labeled.

    The labels of a block lie beside its shard, in `labels/`. Once it is sealed they
    are final: a comparison that failed in it is not asked again, or the same shard
    would mean another thing tomorrow.
    """

    def __init__(
        self,
        shards: ShardWriter,
        config: LabelConfig,
        *,
        splits: dict[str, str],
        ends: Sequence[int],
    ):
        """A sealer that goes on where the shards end.

        Args:
          shards: Where blocks are sealed.
          config: Of the run.
          splits: Prompt id to its split.
          ends: As `block_ends` gives them.
        """
        self._shards = shards
        self._pairs = config.pairs
        self._splits = splits
        self._ends = ends
        self._block: list[tuple[Comparison, Label]] = []

    def sealed_labels(self) -> Iterator[Label]:
        """The labels of every block that an earlier run sealed."""
        for block in range(len(self._shards.manifest.entries)):
            yield from read_records(self._labels_file(block), Label)

    def take(self, comparison: Comparison, label: Label) -> None:
        """Adds the next label, and seals its block if it is the last one there."""
        self._block.append((comparison, label))
        block = len(self._shards.manifest.entries)
        start = self._ends[block - 1] if block else 0
        if start + len(self._block) == self._ends[block]:
            self._seal()

    def finish(self) -> None:
        """Says that no shard follows."""
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
