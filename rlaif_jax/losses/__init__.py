"""Losses as pure functions of arrays: no parameters, no config, no I/O."""

from rlaif_jax.losses.dpo import PairLogps, PreferenceTerms, dpo_loss
from rlaif_jax.losses.logps import sequence_logps, token_logps
from rlaif_jax.losses.router import load_balancing_loss
from rlaif_jax.losses.sft import mean_token_nll, sequence_nll, sft_loss

__all__ = [
    "PairLogps",
    "PreferenceTerms",
    "dpo_loss",
    "load_balancing_loss",
    "mean_token_nll",
    "sequence_logps",
    "sequence_nll",
    "sft_loss",
    "token_logps",
]
