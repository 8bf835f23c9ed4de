"""What a step on pairs tells beside its loss: means over the pairs of a batch.

Plain means over pairs, so that parts of a batch with equally many pairs may be
averaged. Shape letters beside the glossary: R rows, C completion slots of a row.
"""

import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Float

from rlaif_jax.data.packing import PackedRows
from rlaif_jax.losses import PairLengths, PreferenceTerms
from rlaif_jax.training.derived import MOMENTS
from rlaif_jax.training.scoring import sequence_sums
from rlaif_jax.training.step import Metrics

_MAX_LOG_RATIO = 20.0  # in nats: beyond, one token would drown all others


def reward_metrics(terms: PreferenceTerms, lengths: PairLengths) -> Metrics:
    """Rewards as TRL names them, and how they go with length.

    `rewards/accuracies` counts a pair whose rewards are equal as wrong, and
    `rewards/ties` tells how many those are. `derived` makes the correlation of margins
    and length differences of the moments.

    Args:
      terms: Of each pair.
      lengths: Tokens of each completion.
    """
    margin = stop_gradient(terms.margin)
    longer = (lengths.chosen - lengths.rejected).astype(margin.dtype)
    products = (margin, longer, margin * margin, longer * longer, margin * longer)
    return {
        "rewards/chosen": terms.chosen_reward.mean(),
        "rewards/rejected": terms.rejected_reward.mean(),
        "rewards/margins": margin.mean(),
        "rewards/accuracies": (margin > 0).mean(),
        "rewards/ties": (margin == 0).mean(),
        **{name: x.mean() for name, x in zip(MOMENTS, products, strict=True)},
    }


def reference_metrics(
    token_logps: Float[Array, "R C"],
    reference: Float[Array, "R C"],
    rows: PackedRows,
) -> Metrics:
    """How far the policy is from the reference on the given completions, a token.

    `log_ratio/...` is the mean over completions of the mean over tokens of
    log r = log pi - log pi_ref, in nats. `kl_k3/...` is the same mean of
    r - 1 - log r: Schulman's estimator k3 (joschu.net/blog/kl-approx.html). It is at
    least 0, and 0 only where both models give every token the same probability; over
    completions that the *reference* sampled it estimates KL(pi_ref || pi) a token
    without bias. Over a teacher's completions neither is a divergence of the models.

    Args:
      token_logps: Of each slot under the policy; 0 in no one's.
      reference: The same under the reference.
      rows: Whose slots they are.
    """
    ratio = stop_gradient(token_logps - reference)
    ratio = jnp.clip(ratio, -_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    lengths = jnp.asarray(rows.lengths)
    metrics = {}
    for name, values in {
        "log_ratio": ratio,
        "kl_k3": jnp.expm1(ratio) - ratio,
    }.items():
        chosen, rejected = (sequence_sums(values, rows) / lengths).mean(axis=0)
        metrics |= {f"{name}/chosen": chosen, f"{name}/rejected": rejected}
    return metrics
