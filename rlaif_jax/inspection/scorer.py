"""Log-probabilities and rewards of pairs under a model, in batches of one shape.

Further shape letter: axis `2` is the side of a preference, chosen before rejected.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

from rlaif_jax.data.layout import Layout
from rlaif_jax.data.packing import PackedRows, Pair
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.sharding.mesh import batch_divisor
from rlaif_jax.training.batches import place_rows, require_known
from rlaif_jax.training.scoring import (
    completion_logps,
    completion_rewards,
    completion_token_logps,
)


class Model(NamedTuple):
    """An architecture and its parameters, placed on a mesh."""

    config: TransformerConfig
    params: Params


class SideLogps(NamedTuple):
    """Log-probabilities of one pair's completions, token by token, in nats."""

    chosen: Float[np.ndarray, " T"]
    rejected: Float[np.ndarray, " T"]


@dataclass(frozen=True, kw_only=True)
class PairScorer:
    """Scores pairs by the functions that training scores them with.

    Attributes:
      mesh: Where the models are placed.
      layout: How pairs become rows, as in training.
      batch_size: Pairs scored together, rounded up to what the devices share evenly.
    """

    mesh: Mesh
    layout: Layout
    batch_size: int

    def logps(self, model: Model, pairs: Sequence[Pair]) -> Float[np.ndarray, "N 2"]:
        """Log-probability of each completion given its prompt, in nats."""
        scored = self._scored(completion_logps, model, pairs)
        return np.concatenate([sums for sums, _ in scored])[: len(pairs)]

    def token_logps(self, model: Model, pairs: Sequence[Pair]) -> list[SideLogps]:
        """Log-probability of each token of the completions."""
        sides: list[np.ndarray] = []
        for logps, rows in self._scored(completion_token_logps, model, pairs):
            order = np.argsort(rows.sequences.reshape(-1), kind="stable")
            ends = np.cumsum(rows.lengths.reshape(-1))
            sides += np.split(logps.reshape(-1)[order], ends)[:-1]
        return [SideLogps(*sides[2 * n : 2 * n + 2]) for n in range(len(pairs))]

    def rewards(self, model: Model, pairs: Sequence[Pair]) -> Float[np.ndarray, "N 2"]:
        """What a reward model gives each completion, in nats."""
        scored = self._scored(completion_rewards, model, pairs)
        return np.concatenate([found for found, _ in scored])[: len(pairs)]

    def _scored(
        self, score_fn: Callable, model: Model, pairs: Sequence[Pair]
    ) -> Iterator[tuple[np.ndarray, PackedRows]]:
        """What `score_fn` gives for each batch of rows, and the rows."""
        divisor = batch_divisor(self.mesh)
        size = -(-self.batch_size // divisor) * divisor
        score = jax.jit(
            partial(score_fn, model.config),
            out_shardings=NamedSharding(self.mesh, PartitionSpec()),  # whole everywhere
        )
        for start in range(0, len(pairs), size):
            batch = list(pairs[start : start + size])
            dummies = batch[:1] * (size - len(batch))
            rows = self.layout(batch + dummies)
            require_known(batch, model.config.vocab_size)
            placed = place_rows(rows, self.mesh)
            yield jax.device_get(score(model.params, placed)), rows
