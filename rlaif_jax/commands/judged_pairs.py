"""Pairs that a data set has judged itself, sealed as preference shards: no calls."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from rlaif_jax.commands.sealing import decided
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.data.sources import Judged
from rlaif_jax.files import write_records
from rlaif_jax.records import Comparison, Label, Prompt, Verdict, content_hash

_ROWS = 512  # of a shard; it then holds the pairs of whole prompts


def seal_judged(
    out: Path, prompts: Sequence[Prompt], judged: dict[str, tuple[Judged, ...]]
) -> dict[str, int]:
    """Seals the pairs of each split in a folder of its own, and writes both sides.

    A run that was stopped goes on after its last sealed shard.

    Args:
      out: The run folder: shards go into `preferences/SPLIT`, and the completions
        into `chosen.jsonl` and `rejected.jsonl`, for a critic to judge again.
      prompts: Of the splits that they were drawn into.
      judged: Prompt id to its pairs; of others than `prompts` too.

    Returns:
      Pairs of each split.
    """
    has_pairs = [prompt for prompt in prompts if prompt.prompt_id in judged]
    pairs = [pair for prompt in has_pairs for pair in judged[prompt.prompt_id]]
    write_records(out / "chosen.jsonl", (pair.chosen for pair in pairs))
    write_records(out / "rejected.jsonl", (pair.rejected for pair in pairs))
    by_split = sorted(has_pairs, key=lambda prompt: prompt.split)
    counts: dict[str, int] = {}
    for split, members in groupby(by_split, key=lambda prompt: prompt.split):
        own = list(members)
        splits = {prompt.prompt_id: split for prompt in own}
        with ShardWriter(out / "preferences" / split) as shards:
            for number, block in enumerate(_blocks(own, judged)):
                if number >= len(shards.manifest.entries):
                    shards.add(decided(block, splits))
            shards.finish()
            counts[split] = shards.manifest.num_rows
    return counts


def _blocks(
    prompts: Sequence[Prompt], judged: dict[str, tuple[Judged, ...]]
) -> Iterator[list[tuple[Comparison, Label]]]:
    """What each shard holds, as far as prompts fill it."""
    block: list[tuple[Comparison, Label]] = []
    for prompt in prompts:
        block += [_labeled(prompt, pair) for pair in judged[prompt.prompt_id]]
        if len(block) >= _ROWS:
            yield block
            block = []
    if block:
        yield block


def _labeled(prompt: Prompt, pair: Judged) -> tuple[Comparison, Label]:
    """A pair as its comparison and the data set's verdict on it."""
    comparison = Comparison.create(prompt, pair.chosen, pair.rejected)
    judge = pair.rivals.judge
    label = Label(
        pair_id=comparison.pair_id,
        verdict=Verdict.FIRST,
        p_first=pair.rivals.p_chosen,
        verdict_both_orders=Verdict.FIRST.value,
        state="labeled",
        critic=judge,
        critic_returned_model=judge,
        template_hash=content_hash("recorded", judge),
        cost_usd=pair.rivals.cost_usd,
    )
    return comparison, label
