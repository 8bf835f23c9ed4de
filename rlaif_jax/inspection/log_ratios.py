"""The table of log-ratios: how far a policy moved from its reference on each pair.

Further shape letter: axis `2` is the side of a preference, chosen before rejected.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from rlaif_jax.data.packing import Pair
from rlaif_jax.errors import UsageError
from rlaif_jax.files import write_atomic
from rlaif_jax.inspection.scorer import Model, PairScorer

SIDES = ("chosen", "rejected")


class NamedPair(NamedTuple):
    """A preference as ids, and what it is called."""

    pair_id: str
    pair: Pair


class TokenStrip(NamedTuple):
    """One completion, token by token."""

    token_ids: tuple[int, ...]
    log_ratios: Float[np.ndarray, " T"]  # policy over reference, in nats


class PairStrips(NamedTuple):
    """Both completions of one pair, token by token."""

    chosen: TokenStrip
    rejected: TokenStrip


@dataclass(frozen=True, kw_only=True)
class LogRatios:
    """Log-probabilities of pairs under two models, in nats.

    Attributes:
      pair_ids: One a pair.
      policy: Log-probability of each completion under the policy.
      reference: The same under the reference.
      num_tokens: Of each completion, its end token included.
      beta: Rewards are beta times log-ratios.
      strips: The first pairs, token by token.
    """

    pair_ids: tuple[str, ...]
    policy: Float[np.ndarray, "N 2"]
    reference: Float[np.ndarray, "N 2"]
    num_tokens: Int[np.ndarray, "N 2"]
    beta: float
    strips: tuple[PairStrips, ...] = ()

    @property
    def log_ratios(self) -> Float[np.ndarray, "N 2"]:
        """Log-probability under the policy less that under the reference."""
        return self.policy - self.reference

    @property
    def rewards(self) -> Float[np.ndarray, "N 2"]:
        """Implicit rewards, as in `losses.dpo_loss`."""
        return self.beta * self.log_ratios

    @property
    def margins(self) -> Float[np.ndarray, " N"]:
        """Reward of the chosen over the rejected completion."""
        return self.rewards[:, 0] - self.rewards[:, 1]

    def means(self) -> dict[str, float]:
        """Rewards and log-probabilities as training logs them, by the same names."""
        return {
            "rewards/chosen": float(self.rewards[:, 0].mean()),
            "rewards/rejected": float(self.rewards[:, 1].mean()),
            "rewards/margins": float(self.margins.mean()),
            "rewards/accuracies": float((self.margins > 0).mean()),
            "logps/chosen": float(self.policy[:, 0].mean()),
            "logps/rejected": float(self.policy[:, 1].mean()),
        }

    def to_arrow(self) -> pa.Table:
        """One row a pair; token columns are null where there is no strip."""
        columns: dict[str, object] = {"pair_id": list(self.pair_ids)}
        sided = {
            "policy_logps": self.policy,
            "reference_logps": self.reference,
            "log_ratio": self.log_ratios,
            "reward": self.rewards,
            "num_tokens": self.num_tokens,
        }
        for name, values in sided.items():
            for side, column in zip(SIDES, values.T, strict=True):
                columns[f"{side}_{name}"] = column
        columns["margin"] = self.margins
        rest = [None] * (len(self.pair_ids) - len(self.strips))
        for side in SIDES:
            strips = [getattr(pair, side) for pair in self.strips]
            ids = [list(strip.token_ids) for strip in strips]
            ratios = [strip.log_ratios.tolist() for strip in strips]
            columns[f"{side}_token_ids"] = pa.array(ids + rest, pa.list_(pa.int32()))
            columns[f"{side}_token_log_ratios"] = pa.array(
                ratios + rest, pa.list_(pa.float32())
            )
        return pa.table(columns)

    def write(self, path: Path) -> None:
        """Writes the table as Parquet, whole or not at all."""
        sink = io.BytesIO()
        pq.write_table(self.to_arrow(), sink, compression="zstd")
        write_atomic(path, sink.getvalue())


def log_ratios(
    policy: Model,
    reference: Model,
    pairs: Sequence[NamedPair],
    *,
    scorer: PairScorer,
    beta: float,
    num_strips: int = 4,
) -> LogRatios:
    """What two models say of the same pairs.

    Args:
      policy: The model that was trained.
      reference: The model that it started from.
      pairs: Preferences as ids.
      scorer: How they are batched.
      beta: That the policy was trained with.
      num_strips: Pairs that are also kept token by token.

    Raises:
      UsageError: If there are no pairs.
    """
    if not pairs:
        raise UsageError("no pairs to inspect: give a folder with sealed preferences")
    listed = [named.pair for named in pairs]
    return LogRatios(
        pair_ids=tuple(named.pair_id for named in pairs),
        policy=scorer.logps(policy, listed),
        reference=scorer.logps(reference, listed),
        num_tokens=np.array([[len(p.chosen), len(p.rejected)] for p in listed]),
        beta=beta,
        strips=_strips(policy, reference, listed[:num_strips], scorer),
    )


def _strips(
    policy: Model, reference: Model, pairs: list[Pair], scorer: PairScorer
) -> tuple[PairStrips, ...]:
    """The pairs token by token."""
    if not pairs:
        return ()
    under = zip(
        scorer.token_logps(policy, pairs),
        scorer.token_logps(reference, pairs),
        strict=True,
    )
    return tuple(
        PairStrips(
            TokenStrip(tuple(pair.chosen), ours.chosen - theirs.chosen),
            TokenStrip(tuple(pair.rejected), ours.rejected - theirs.rejected),
        )
        for pair, (ours, theirs) in zip(pairs, under, strict=True)
    )
