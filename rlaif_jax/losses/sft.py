"""Negative log-likelihoods of completions: supervised fine-tuning."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlaif_jax.losses.logps import sequence_logps


def sft_loss(
    logits: Float[Array, "*B T V"],
    targets: Int[Array, "*B T"],
    completion_mask: Bool[Array, "*B T"],
) -> Float[Array, "*B"]:
    """Negative log-likelihood of each completion given its prompt, in nats.

    Eq. 1 of Sharma et al., "A Critical Evaluation of AI Feedback for Aligning Large
    Language Models" (arXiv:2402.12366): a sum over tokens, so a long completion
    weighs more than a short one.

    Args:
      logits: Unnormalized scores; `logits[..., t, :]` scores `targets[..., t]`.
      targets: Prompt, completion and padding ids, already shifted.
      completion_mask: True where `targets` is a completion token, its end-of-turn
        token included; False on prompt and padding.

    Returns:
      At least 0; 0 where the mask is empty.
    """
    return -sequence_logps(logits, targets, completion_mask)


def sequence_nll(
    logps: Float[Array, " B"], lengths: Int[Array, " B"]
) -> Float[Array, " B"]:
    """The loss of `sft_loss`, from log-probabilities of completions.

    Args:
      logps: Of each completion, in nats.
      lengths: Tokens of each; they do not matter here.
    """
    del lengths
    return -logps


def mean_token_nll(
    logps: Float[Array, " B"], lengths: Int[Array, " B"]
) -> Float[Array, " B"]:
    """Mean over each completion's tokens of their negative log-likelihoods, in nats.

    Every completion weighs the same, whatever its length; the exponential of its mean
    over examples is the paper's perplexity (arXiv:2402.12366, code).

    Args:
      logps: Of each completion, summed over its tokens.
      lengths: Tokens of each.

    Returns:
      At least 0; 0 of a completion without tokens.
    """
    return sequence_nll(logps, lengths) / jnp.maximum(lengths, 1)
