"""Training on preferences, by DPO or another loss, as they are or still grow."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from rlaif_jax.data.order import Source
from rlaif_jax.data.packing import PackedRows, Pair
from rlaif_jax.errors import InternalError
from rlaif_jax.losses import PairLengths, PairLogps
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.records import Preference, content_hash
from rlaif_jax.sharding.placement import place_batch
from rlaif_jax.training.batches import place_rows, require_known
from rlaif_jax.training.facts import BatchFacts, batch_facts
from rlaif_jax.training.logp_store import LogpStore
from rlaif_jax.training.pair_metrics import reference_metrics, reward_metrics
from rlaif_jax.training.pairs import PairRows
from rlaif_jax.training.plan import (
    Session,
    StartModel,
    TrainingPlan,
    TrainResult,
    finished_result,
)
from rlaif_jax.training.preference_loss import PreferenceLoss, ScoredPairs
from rlaif_jax.training.reference import (
    ReferenceLogps,
    ScoredSlots,
    reference_identity,
)
from rlaif_jax.training.run import Task, train
from rlaif_jax.training.scoring import (
    completion_token_logps,
    score_rows,
    sequence_sums,
    with_balance,
)
from rlaif_jax.training.step import Metrics

# How far rounding alone takes the first margin from 0, in nats.
_FIRST_MARGIN_TOLERANCE = {"float32": 1.4e-4, "bfloat16": 2.8e-2}


class PairBatch(NamedTuple):
    """Pairs of one step, and what the reference says of them, if it is asked."""

    rows: PackedRows
    reference: Float[Array, "R C"] | None  # of each slot


@dataclass(frozen=True, kw_only=True)
class PairEncoding(PairRows):
    """How preferences become rows, and where the reference's opinion is kept.

    Attributes:
      reference_dir: Where log-probabilities under references are kept, for all runs on
        these preferences.
    """

    reference_dir: Path


@dataclass(frozen=True)
class DpoObjective:
    """The mean preference loss of a batch of pairs, with its metrics.

    Metrics are means over pairs, named as in TRL and the paper's code; `pair_metrics`
    says what they are. Where there are several terms, `loss/...` tells each.

    Attributes:
      config: The architecture.
      loss: Of each pair.
      router_weight: Of the experts' load balancing loss, which is added.
    """

    config: TransformerConfig
    loss: PreferenceLoss
    router_weight: float = 0.0

    def __call__(
        self, params: Params, batch: PairBatch
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss to descend, and what `metrics.jsonl` tells."""
        scores = score_rows(self.config, params, batch.rows)
        reference = None
        if batch.reference is not None:
            reference = _sides(sequence_sums(batch.reference, batch.rows))
        lengths = jnp.asarray(batch.rows.lengths)
        pairs = ScoredPairs(
            _sides(sequence_sums(scores.token_logps, batch.rows)),
            PairLengths(lengths[:, 0], lengths[:, 1]),
            reference,
        )
        terms = self.loss.terms(pairs)
        metrics = reward_metrics(terms, pairs.lengths) | {
            "logps/chosen": pairs.policy.chosen.mean(),
            "logps/rejected": pairs.policy.rejected.mean(),
        }
        if batch.reference is not None:
            metrics |= reference_metrics(
                scores.token_logps, batch.reference, batch.rows
            )
        loss = terms.loss.mean()
        sft = self.loss.sft_term(pairs)
        if sft is not None:
            metrics |= {"loss/preference": loss, "loss/sft": sft.mean()}
            loss = loss + sft.mean()
        return with_balance(loss, scores.balance, metrics, weight=self.router_weight)


def train_dpo(
    start: StartModel,
    preferences: Source[Preference],
    *,
    encoding: PairEncoding,
    objective: DpoObjective,
    plan: TrainingPlan,
    session: Session,
) -> TrainResult:
    """Trains on preferences; returns at once if the folder's run is finished.

    The reference is the start model: with adapters, the weights without them; with
    bfloat16 weights, the start model rounded to nearest, as the policy is. Its
    log-probabilities are kept. They are computed before the first step, and a start
    model that is spare is freed then; of preferences that still grow, when a pair first
    comes, so that training can follow labeling. A loss without a reference computes
    none.

    Args:
      start: The model at step 0.
      preferences: Of a finished folder or of one that grows.
      encoding: Makes rows of a batch, and keeps what the reference says.
      objective: What is descended.
      plan: Optimizer, batch size and length of the run.
      session: Folder, devices, progress and stop.

    Raises:
      CommandError: As `training.run.train` does.
    """
    finished = finished_result(session.out)
    if finished is not None:
        return finished
    weights = start.rounded(plan.optimizer.weights)
    reference = None
    if objective.loss.needs_reference:
        reference = _reference(start.plain_config, weights, encoding, session)
    batches = _PairBatches(start.config, encoding, reference, session.mesh)
    task = Task(
        objective,
        batches.load,
        partial(_require_equal_start, objective),
        batches.describe,
        prepare=batches.score if reference else None,
    )
    start = dataclasses.replace(start, load=lambda: weights)
    return train(start, preferences, task=task, plan=plan, session=session)


class _PairBatches:
    """From records to arrays, with what the reference says of them."""

    def __init__(
        self,
        config: TransformerConfig,
        encoding: PairEncoding,
        reference: ReferenceLogps | None,
        mesh: Mesh,
    ):
        """Prepares to load.

        Args:
          config: Of the policy.
          encoding: Makes rows of a batch.
          reference: If the loss needs one.
          mesh: Where arrays go.
        """
        self._config = config
        self._encoding = encoding
        self._reference = reference
        self._mesh = mesh
        self._num_scored = 0  # pairs of the last batch that were new to the reference

    def load(self, parts: Sequence[Sequence[Preference]]) -> list[PairBatch]:
        """Each part of a batch on the devices."""
        self._num_scored = 0
        return [self._placed(*part) for part in self._encoding.parts(parts)]

    def score(self, parts: Sequence[Sequence[Preference]]) -> None:
        """Has the reference score a batch, in the rows of `load`, if a pair is new."""
        assert self._reference is not None
        pairs = [self._encoding.to_pair(record) for part in parts for record in part]
        if not self._reference.knows(pairs):
            self.load(parts)

    def describe(
        self, parts: Sequence[Sequence[Preference]], batch: Sequence[PairBatch]
    ) -> BatchFacts:
        """What the host knows of the batch that was loaded last."""
        return batch_facts(
            self._config,
            [self._encoding.to_pair(record) for part in parts for record in part],
            [part.rows for part in batch],
            num_scored=self._num_scored,
        )

    def _placed(self, pairs: Sequence[Pair], rows: PackedRows) -> PairBatch:
        require_known(pairs, self._config.vocab_size)
        placed = place_rows(rows, self._mesh)
        if self._reference is None:
            return PairBatch(placed, None)
        logps = self._reference.of(pairs, rows, placed)
        self._num_scored += self._reference.num_missing
        return PairBatch(placed, place_batch(logps, self._mesh))


def _sides(sums: Float[Array, "N 2"]) -> PairLogps:
    return PairLogps(sums[:, 0], sums[:, 1])


def _reference(
    config: TransformerConfig,
    weights: Params,
    encoding: PairEncoding,
    session: Session,
) -> ReferenceLogps:
    """The start weights as reference, scored by the functions of the policy."""
    everywhere = NamedSharding(session.mesh, PartitionSpec())
    score = jax.jit(partial(completion_token_logps, config), out_shardings=everywhere)
    whole = jax.jit(lambda sequences: sequences, out_shardings=everywhere)
    identity = reference_identity(config, weights)
    writer = content_hash(str(session.out.resolve()))[:16]

    def store() -> LogpStore:
        return LogpStore(encoding.reference_dir, identity=identity, writer=writer)

    return ReferenceLogps(
        store,
        lambda placed: ScoredSlots(score(weights, placed), whole(placed.sequences)),
    )


def _require_equal_start(
    objective: DpoObjective, step: int, metrics: dict[str, float]
) -> None:
    """Refuses a run whose first step finds that policy and reference differ."""
    expected = objective.loss.start if step == 1 else None
    if expected is None:
        return
    tolerance = _FIRST_MARGIN_TOLERANCE[objective.config.compute_dtype]
    margin = metrics["rewards/margins"]
    named = (metrics.get(f"loss/{name}") for name in ("preference", "task"))
    loss = next((value for value in named if value is not None), metrics["loss"])
    # at 0 the squares of IPO and SPPO change by 4 of themselves a nat, others by less
    if abs(margin) > tolerance or abs(loss - expected) > 4 * tolerance * expected:
        raise InternalError(
            f"the first preference loss is {loss:.6f} and its margin {margin:.2e}, not "
            f"{expected:.6f} and 0: policy and reference disagree before the first "
            "update; delete the run's folder and start again"
        )
