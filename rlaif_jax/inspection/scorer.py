"""Log-probabilities and rewards of pairs under a model, in batches of one shape.

Further shape letter: axis `2` is the side of a preference, chosen before rejected.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

from rlaif_jax.data.rows import Pair, TokenRows, pair_rows
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.sharding.mesh import batch_divisor
from rlaif_jax.sharding.placement import host_rows, place_batch
from rlaif_jax.training.scoring import (
    completion_logps,
    completion_rewards,
    completion_token_logps,
)


class Model(NamedTuple):
    """An architecture and its parameters, placed on a mesh."""

    config: TransformerConfig
    params: Params


@dataclass(frozen=True, kw_only=True)
class PairScorer:
    """Scores pairs by the functions that training scores them with.

    Attributes:
      mesh: Where the models are placed.
      length: Tokens of a row, as in training.
      batch_size: Pairs scored together, rounded up to what the devices share evenly.
    """

    mesh: Mesh
    length: int
    batch_size: int

    def logps(self, model: Model, pairs: Sequence[Pair]) -> Float[np.ndarray, "N 2"]:
        """Log-probability of each completion given its prompt, in nats."""
        return self._score(completion_logps, model, pairs)

    def token_logps(
        self, model: Model, pairs: Sequence[Pair]
    ) -> Float[np.ndarray, "N 2 T"]:
        """Log-probability of each token of the completions; 0 elsewhere in a row."""
        return self._score(completion_token_logps, model, pairs)

    def rewards(self, model: Model, pairs: Sequence[Pair]) -> Float[np.ndarray, "N 2"]:
        """What a reward model gives each completion, in nats."""
        return self._score(completion_rewards, model, pairs)

    def _score(
        self, score_fn: Callable, model: Model, pairs: Sequence[Pair]
    ) -> np.ndarray:
        """What `score_fn` gives for both rows of each pair."""
        divisor = batch_divisor(self.mesh)
        size = -(-self.batch_size // divisor) * divisor
        mine = host_rows(size, jax.process_index(), jax.process_count())
        score = jax.jit(
            partial(score_fn, model.config),
            out_shardings=NamedSharding(self.mesh, PartitionSpec()),  # whole everywhere
        )
        scored = []
        for start in range(0, len(pairs), size):
            batch = list(pairs[start : start + size])
            dummies = batch[:1] * (size - len(batch))
            rows = pair_rows(batch + dummies, self.length)
            placed = place_batch(TokenRows(*(part[mine] for part in rows)), self.mesh)
            scored.append(jax.device_get(score(model.params, placed))[: len(batch)])
        return np.concatenate(scored)
