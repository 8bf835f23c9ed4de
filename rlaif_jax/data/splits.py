"""Which prompts are kept, and which of them serve for what."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlaif_jax.records import Prompt, content_hash

HELD_OUT = ("test", "validation")


class Filtered(NamedTuple):
    """The prompts that passed, and how many did not."""

    prompts: tuple[Prompt, ...]
    dropped: Mapping[str, int]  # reason to prompts


def filter_prompts(
    prompts: Sequence[Prompt], *, max_words: int, max_characters: int
) -> Filtered:
    """The prompts whose user does not say too much, in their order.

    Args:
      prompts: Prompts of any splits; held-out ones are filtered alike.
      max_words: Most words, split at white space, over all turns of the user.
      max_characters: Most characters, likewise.

    Returns:
      What is left; dropped are `too_many_words` and `too_many_characters`.
    """
    kept, dropped = [], Counter[str]()
    for prompt in prompts:
        texts = [turn.content for turn in prompt.messages if turn.role == "user"]
        if sum(len(text.split()) for text in texts) > max_words:
            dropped["too_many_words"] += 1
        elif sum(len(text) for text in texts) > max_characters:
            dropped["too_many_characters"] += 1
        else:
            kept.append(prompt)
    return Filtered(tuple(kept), dict(dropped))


def assign_splits(
    prompts: Sequence[Prompt],
    fractions: Mapping[str, float],
    *,
    seed: int,
    limit: int | None = None,
    at_most: Mapping[str, int] | None = None,
) -> tuple[Prompt, ...]:
    """The prompts with their splits drawn, in their given order.

    Held-out prompts (`test`, `validation`) stay what they are. The others are ranked
    by a hash of seed and prompt, so a prompt's rank depends on neither the order nor
    the rest of the file; the best ranks go to the first split of `fractions`, the
    next to the second. So the smaller of two first fractions is part of the larger.

    Args:
      prompts: Prompts with distinct ids.
      fractions: Split to its share; the shares sum to 1.
      seed: Of the draw.
      limit: Most prompts drawn, held-out ones not counted; the others are left out.
      at_most: Split to most prompts of it, after the draw: its best ranks, so that
        fewer are part of more.

    Returns:
      Held-out and drawn prompts. Each split has its share rounded down, or one more:
      the shares with the largest remainders get what is left over.
    """
    free = [prompt for prompt in prompts if prompt.split not in HELD_OUT]
    ranked = sorted(free, key=lambda one: _rank(one, seed))
    ranked = ranked[:limit]
    names = [
        name
        for name, count in _exact_counts(fractions, len(ranked)).items()
        for _ in range(count)
    ]
    drawn = dict(zip((one.prompt_id for one in ranked), names, strict=True))
    for name, most in (at_most or {}).items():
        for prompt_id in [key for key, split in drawn.items() if split == name][most:]:
            del drawn[prompt_id]
    return tuple(
        prompt
        if prompt.split in HELD_OUT
        else prompt.model_copy(update={"split": drawn[prompt.prompt_id]})
        for prompt in prompts
        if prompt.split in HELD_OUT or prompt.prompt_id in drawn
    )


def first_ranks(prompts: Sequence[Prompt], most: int, *, seed: int) -> list[Prompt]:
    """A few prompts, the same share of each split and its best ranks.

    Args:
      prompts: With their splits assigned.
      most: How many.
      seed: Of the draw of splits, so that `at_most` keeps the same ones.
    """
    ranked = sorted(prompts, key=lambda one: _rank(one, seed))
    sizes, places = Counter(one.split for one in ranked), Counter[str]()
    depths: dict[str, float] = {}
    for one in ranked:
        depths[one.prompt_id] = (places[one.split] + 0.5) / sizes[one.split]
        places[one.split] += 1
    # the sort is stable: of equal depth, the best rank comes first
    return sorted(ranked, key=lambda one: depths[one.prompt_id])[:most]


def _rank(prompt: Prompt, seed: int) -> str:
    """What prompts are sorted by before they are drawn."""
    return content_hash("split", seed, prompt.prompt_id)


def _exact_counts(fractions: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that sum to the total, by largest remainder."""
    # 0.1 * 30 is 3.0000000000000004: noise must not decide between remainders
    shares = {name: round(share * total, 6) for name, share in fractions.items()}
    counts = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: counts[name] - shares[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
