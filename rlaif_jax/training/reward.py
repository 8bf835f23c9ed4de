"""Training of a reward model on preferences, by the Bradley-Terry loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from rlaif_jax.data.order import Source
from rlaif_jax.data.packing import PackedRows
from rlaif_jax.losses import PairLengths, PreferenceTerms, bradley_terry_loss
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.records import Preference
from rlaif_jax.training.batches import place_rows, require_known
from rlaif_jax.training.facts import BatchFacts, batch_facts
from rlaif_jax.training.pair_metrics import reward_metrics
from rlaif_jax.training.pairs import PairRows
from rlaif_jax.training.plan import (
    Session,
    StartModel,
    TrainingPlan,
    TrainResult,
    finished_result,
)
from rlaif_jax.training.run import Task, train
from rlaif_jax.training.scoring import score_rewards, with_balance
from rlaif_jax.training.step import Metrics


@dataclass(frozen=True)
class RewardObjective:
    """The mean Bradley-Terry loss of rows of pairs, with its metrics.

    Metrics are means over pairs, named as for DPO; see `pair_metrics`.

    Attributes:
      config: The architecture, with a reward head.
      router_weight: Of the experts' load balancing loss, which is added.
    """

    config: TransformerConfig
    router_weight: float = 0.0

    def __call__(
        self, params: Params, rows: PackedRows
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss to descend, and what `metrics.jsonl` tells."""
        scores = score_rewards(self.config, params, rows)
        chosen, rejected = scores.rewards[:, 0], scores.rewards[:, 1]
        loss = bradley_terry_loss(chosen, rejected)
        lengths = jnp.asarray(rows.lengths)
        metrics = reward_metrics(
            PreferenceTerms(loss, chosen, rejected),
            PairLengths(lengths[:, 0], lengths[:, 1]),
        )
        return with_balance(
            loss.mean(), scores.balance, metrics, weight=self.router_weight
        )


def train_reward(
    start: StartModel,
    preferences: Source[Preference],
    *,
    encoding: PairRows,
    objective: RewardObjective,
    plan: TrainingPlan,
    session: Session,
) -> TrainResult:
    """Trains on preferences; returns at once if the folder's run is finished.

    Args:
      start: The model at step 0, with a reward head.
      preferences: Of a finished folder or of one that grows.
      encoding: Makes rows of a batch.
      objective: What is descended.
      plan: Optimizer, batch size and length of the run.
      session: Folder, devices, progress and stop.

    Raises:
      CommandError: As `training.run.train` does.
    """
    finished = finished_result(session.out)
    if finished is not None:
        return finished

    def load(parts: Sequence[Sequence[Preference]]) -> list[PackedRows]:
        placed = []
        for pairs, rows in encoding.parts(parts):
            require_known(pairs, start.config.vocab_size)
            placed.append(place_rows(rows, session.mesh))
        return placed

    def describe(
        parts: Sequence[Sequence[Preference]], batch: Sequence[PackedRows]
    ) -> BatchFacts:
        pairs = [encoding.to_pair(record) for part in parts for record in part]
        return batch_facts(start.config, pairs, batch)

    task = Task(objective, load, describe=describe)
    return train(start, preferences, task=task, plan=plan, session=session)
