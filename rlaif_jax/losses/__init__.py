"""Losses as pure functions of arrays: no parameters, no config, no I/O."""

from rlaif_jax.losses.absolute import (
    apo_down_loss,
    apo_zero_loss,
    bco_pair_loss,
    nca_pair_loss,
    sppo_hard_loss,
)
from rlaif_jax.losses.dpo import dpo_loss
from rlaif_jax.losses.importance import importance_weight
from rlaif_jax.losses.logps import sequence_logps, token_logps
from rlaif_jax.losses.margin import (
    cdpo_over_beta_loss,
    exo_pair_loss,
    hinge_loss,
    ipo_mean_loss,
    ipo_sum_loss,
    robust_loss,
    sigmoid_norm_loss,
)
from rlaif_jax.losses.pairs import (
    PairLengths,
    PairLogps,
    PreferenceTerms,
    implicit_rewards,
    per_token,
)
from rlaif_jax.losses.reference_free import (
    orpo_loss,
    reference_free_loss,
    simpo_loss,
)
from rlaif_jax.losses.reward import bradley_terry_loss
from rlaif_jax.losses.router import load_balancing_loss
from rlaif_jax.losses.sft import mean_token_nll, sequence_nll, sft_loss

__all__ = [
    "PairLengths",
    "PairLogps",
    "PreferenceTerms",
    "apo_down_loss",
    "apo_zero_loss",
    "bco_pair_loss",
    "bradley_terry_loss",
    "cdpo_over_beta_loss",
    "dpo_loss",
    "exo_pair_loss",
    "hinge_loss",
    "implicit_rewards",
    "importance_weight",
    "ipo_mean_loss",
    "ipo_sum_loss",
    "load_balancing_loss",
    "mean_token_nll",
    "nca_pair_loss",
    "orpo_loss",
    "per_token",
    "reference_free_loss",
    "robust_loss",
    "sequence_logps",
    "sequence_nll",
    "sft_loss",
    "sigmoid_norm_loss",
    "simpo_loss",
    "sppo_hard_loss",
    "token_logps",
]
