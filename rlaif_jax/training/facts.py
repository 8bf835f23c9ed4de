"""What the host knows of a batch without asking a device."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlaif_jax.data.encoded import EncodedExample, EncodedPair, Fate
from rlaif_jax.data.packing import Ids, PackedRows
from rlaif_jax.models import TransformerConfig
from rlaif_jax.models.flops import TokenCounts, forward_flops, training_flops

_SIDES = ("chosen", "rejected")


class BatchFacts(NamedTuple):
    """What a step is fed, and what computing it needs.

    Attributes:
      metrics: Of the examples or pairs, wherever and however they are computed; for
        `metrics.jsonl`.
      work: Of their layout; for `timing.jsonl`.
    """

    metrics: dict[str, float]
    work: "Work"


class Work(NamedTuple):
    """What computing a batch needs.

    Attributes:
      tokens: In the rows, padding left out.
      places: In the rows, padding included.
      flops: Of forward and backward pass, as `models.flops` counts them, and of what
        the reference had to score.
    """

    tokens: int
    places: int
    flops: int

    @property
    def padding_fraction(self) -> float:
        """The share of places without a token."""
        return 1.0 - self.tokens / self.places


def batch_facts(
    config: TransformerConfig,
    items: Sequence[Sequence[Ids]],
    rows: Sequence[PackedRows],
    *,
    num_scored: int = 0,
) -> BatchFacts:
    """What is known of one batch.

    Args:
      config: The architecture, with the adapters that are trained, if any.
      items: All of the batch: each a prompt and its completions.
      rows: Where they are laid out, in one or several parts; only shapes are read.
      num_scored: How many of the items the reference scored for this step.
    """
    return BatchFacts(
        item_metrics(items), _work(config, items, rows, num_scored=num_scored)
    )


def item_metrics(items: Sequence[Sequence[Ids]]) -> dict[str, float]:
    """Means over examples or pairs of what their ids and texts tell.

    `lengths/...` are tokens, `pairs/identical` is the share of pairs whose two sides
    are the same ids. Of items that were texts, `truncated/...` are the shares of
    prompts and completions that were too long, and `ends_with_eos/...` those of
    completions that have their end token. `num_tokens` is TRL's: a sum, with the
    prompt counted once for each completion.

    Args:
      items: Each a prompt and its completions.
    """
    lengths = np.array([[len(part) for part in item] for item in items])
    sides = _SIDES[: lengths.shape[1] - 1]
    metrics = {
        "num_tokens": float(lengths[:, 1:].sum() + len(sides) * lengths[:, 0].sum()),
        "lengths/prompts": float(lengths[:, 0].mean()),
    }
    for column, side in enumerate(sides, 1):
        metrics[f"lengths/{side}"] = float(lengths[:, column].mean())
    if len(sides) == 2:
        same = [list(item[1]) == list(item[2]) for item in items]
        metrics["pairs/identical"] = float(np.mean(same))
    return metrics | _rates(items, sides)


def _rates(items: Sequence[Sequence[Ids]], sides: tuple[str, ...]) -> dict[str, float]:
    """What became of texts; nothing where ids were given, of which nobody knows."""
    fates: list[Fate] = [
        item.fate for item in items if isinstance(item, EncodedExample | EncodedPair)
    ]
    if len(fates) < len(items):
        return {}
    truncated = np.array([fate.truncated for fate in fates])
    ended = np.array([fate.ended for fate in fates])
    rates = {
        "truncated/prompts": float(truncated[:, 0].mean()),
        "truncated/completions": float(truncated[:, 1:].mean()),
    }
    for column, side in enumerate(sides):
        rates[f"ends_with_eos/{side}"] = float(ended[:, column].mean())
    return rates


def _work(
    config: TransformerConfig,
    items: Sequence[Sequence[Ids]],
    rows: Sequence[PackedRows],
    *,
    num_scored: int,
) -> Work:
    """What the rows hold, and what a step on them takes."""
    shares_prompts = all(part.branches is not None for part in rows)
    counts = [_counts(item, config, shares_prompts) for item in items]
    total = TokenCounts(*np.array(counts, np.int64).sum(axis=0).tolist())
    flops = training_flops(config, total)
    flops += forward_flops(config.replace(lora=None), total) * num_scored // len(items)
    places = sum(int(np.prod(part.token_ids.shape)) for part in rows)
    return Work(total.tokens, places, flops)


def _counts(
    item: Sequence[Ids], config: TransformerConfig, shares_prompts: bool
) -> TokenCounts:
    """Of one item, whose prompt stands once, or before each completion."""
    prompt, *completions = (len(part) for part in item)
    window = config.sliding_window
    if shares_prompts:
        return TokenCounts.of(prompt, tuple(completions), window=window)
    first, *others = (
        TokenCounts.of(prompt, (completion,), window=window)
        for completion in completions
    )
    for other in others:
        first = first.plus(other)
    return first
