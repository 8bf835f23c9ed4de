"""Direct Preference Optimization on pairs, all there or still being labeled."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from rlaif_jax.config import TokensConfig
from rlaif_jax.data.order import Source
from rlaif_jax.data.rows import Pair, TokenRows, pair_rows, row_length
from rlaif_jax.data.tokenization import encode_completion, encode_prompt
from rlaif_jax.data.tokenizer import Tokenizer
from rlaif_jax.errors import InternalError
from rlaif_jax.losses import PairLogps, dpo_loss
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.records import Preference
from rlaif_jax.sharding.placement import place_batch
from rlaif_jax.training.batches import own_block, place_rows
from rlaif_jax.training.plan import (
    Session,
    StartModel,
    TrainingPlan,
    TrainResult,
    finished_result,
)
from rlaif_jax.training.reference import ReferenceLogps, reference_identity
from rlaif_jax.training.run import Task, train
from rlaif_jax.training.scoring import completion_logps, score_rows, with_balance
from rlaif_jax.training.step import LossFn, Metrics

# How far rounding alone takes the first loss from log 2, relative to it.
_FIRST_LOSS_TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}


class PairBatch(NamedTuple):
    """Pairs of one step, [B 2 T], and what the reference says of them."""

    rows: TokenRows
    reference: PairLogps


class PairEncoder:
    """Turns preferences into rows; remembers pairs, which every epoch brings again."""

    def __init__(
        self, tokenizer: Tokenizer, tokens: TokensConfig, *, max_remembered: int = 2**18
    ):
        """Prepares to encode.

        Args:
          tokenizer: The model's.
          tokens: Template and limits.
          max_remembered: Pairs kept in memory.
        """
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._max_remembered = max_remembered
        self._known: dict[str, Pair] = {}

    def __call__(self, preferences: Sequence[Preference]) -> TokenRows:
        """Preferences as rows [N 2 T], of the length that the limits imply."""
        pairs = [self._encoded(one) for one in preferences]
        return pair_rows(pairs, row_length(self._tokens))

    def _encoded(self, preference: Preference) -> Pair:
        pair = self._known.get(preference.pair_id)
        if pair is None:
            pair = encode_preference(self._tokenizer, preference, self._tokens)
            if len(self._known) < self._max_remembered:
                self._known[preference.pair_id] = pair
        return pair


def encode_preference(
    tokenizer: Tokenizer, preference: Preference, tokens: TokensConfig
) -> Pair:
    """A preference as ids."""

    def side(text: str, finish_reason: str) -> list[int]:
        return encode_completion(
            tokenizer, text, finish_reason, tokens, tokenizer.eos_token_id
        )

    return Pair(
        encode_prompt(tokenizer, preference.prompt, tokens),
        side(preference.chosen[-1].content, preference.chosen_finish_reason),
        side(preference.rejected[-1].content, preference.rejected_finish_reason),
    )


def train_dpo(
    start: StartModel,
    preferences: Source[Preference],
    *,
    to_rows: Callable[[Sequence[Preference]], TokenRows],
    objective: LossFn,
    plan: TrainingPlan,
    session: Session,
) -> TrainResult:
    """Trains on preferences; returns at once if the folder's run is finished.

    The reference is the start model: with adapters, the weights without them. Its
    log-probabilities are computed when a pair first comes, so that training can follow
    labeling, and kept in `reference/`.

    Args:
      start: The model at step 0.
      preferences: Of a finished folder or of one that grows.
      to_rows: One batch as rows of ids: a `PairEncoder`.
      objective: From `dpo_objective`.
      plan: Optimizer, batch size and length of the run.
      session: Folder, devices, progress and stop.

    Raises:
      CommandError: As `training.run.train` does.
    """
    finished = finished_result(session.out)
    if finished is not None:
        return finished
    weights = start.load()
    reference = _reference(start.plain_config, weights, session)

    def load(records: Sequence[Preference]) -> PairBatch:
        rows = to_rows(records)
        placed = place_rows(rows, session.mesh, vocab_size=start.config.vocab_size)
        logps = own_block(reference.of(rows, placed))
        sides = np.ascontiguousarray(logps.T)
        return PairBatch(placed, place_batch(PairLogps(*sides), session.mesh))

    return train(
        dataclasses.replace(start, load=lambda: weights),
        preferences,
        task=Task(objective, load, partial(_require_equal_start, start.config)),
        plan=plan,
        session=session,
    )


def dpo_objective(
    config: TransformerConfig,
    *,
    beta: float,
    label_smoothing: float = 0.0,
    router_weight: float = 0.0,
) -> LossFn:
    """The mean DPO loss of a batch of pairs, with its metrics.

    Metrics are means over pairs, named as in the paper's code; `rewards/accuracies`
    counts a pair whose rewards are equal as wrong.

    Args:
      config: The architecture.
      beta: Strength of the pull towards the reference, > 0.
      label_smoothing: Assumed probability that a label is flipped.
      router_weight: Of the experts' load balancing loss, which is added.
    """

    def objective(params: Params, batch: PairBatch) -> tuple[Float[Array, ""], Metrics]:
        scores = score_rows(config, params, batch.rows)
        logps = jnp.sum(scores.token_logps, axis=-1)
        policy = PairLogps(logps[:, 0], logps[:, 1])
        terms = dpo_loss(
            policy, batch.reference, beta=beta, label_smoothing=label_smoothing
        )
        metrics = {
            "rewards/chosen": terms.chosen_reward.mean(),
            "rewards/rejected": terms.rejected_reward.mean(),
            "rewards/margins": terms.margin.mean(),
            "rewards/accuracies": (terms.margin > 0).mean(),
            "logps/chosen": policy.chosen.mean(),
            "logps/rejected": policy.rejected.mean(),
        }
        loss = terms.loss.mean()
        return with_balance(loss, scores.balance, metrics, weight=router_weight)

    return objective


def _reference(
    config: TransformerConfig, weights: Params, session: Session
) -> ReferenceLogps:
    """The start weights as reference, scored by the functions of the policy."""
    score = jax.jit(
        partial(completion_logps, config),
        out_shardings=NamedSharding(session.mesh, PartitionSpec()),
    )
    return ReferenceLogps(
        session.out / "reference",
        lambda placed: score(weights, placed),
        identity=reference_identity(config, weights),
    )


def _require_equal_start(
    config: TransformerConfig, step: int, metrics: dict[str, float]
) -> None:
    """Refuses a run whose first step finds that policy and reference differ."""
    if step != 1:
        return
    tolerance = _FIRST_LOSS_TOLERANCE[config.compute_dtype] * math.log(2)
    margin = metrics["rewards/margins"]
    loss = metrics.get("loss/task", metrics["loss"])
    # d loss / d margin is 1/2 at 0
    if abs(loss - math.log(2)) > tolerance or abs(margin) > 2 * tolerance:
        raise InternalError(
            f"the first DPO loss is {loss:.6f} and its margin {margin:.2e}, "
            "not log 2 and 0: policy and reference disagree before the first update; "
            "delete the run's folder and start again"
        )
