"""A preference loss as its config describes it, ready to be called on pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from rlaif_jax import losses
from rlaif_jax.config_losses import LossConfig, SftTermConfig
from rlaif_jax.losses import PairLengths, PairLogps, PreferenceTerms


class ScoredPairs(NamedTuple):
    """What a preference loss may look at.

    Attributes:
      policy: Log-probabilities under the model in training.
      lengths: Tokens of each completion.
      reference: Log-probabilities under the frozen model; None if no loss asks.
    """

    policy: PairLogps
    lengths: PairLengths
    reference: PairLogps | None


class _Row(NamedTuple):
    """A loss, and what of `ScoredPairs` it takes."""

    loss: Callable[..., PreferenceTerms]
    takes: tuple[str, ...]


_RATIO = ("policy", "reference")
_TOKEN_RATIO = ("policy", "reference", "lengths")

PREFERENCE_LOSSES: dict[str, _Row] = {
    "dpo": _Row(losses.dpo_loss, _RATIO),
    "robust": _Row(losses.robust_loss, _RATIO),
    "cdpo_over_beta": _Row(losses.cdpo_over_beta_loss, _RATIO),
    "hinge": _Row(losses.hinge_loss, _RATIO),
    "ipo_sum": _Row(losses.ipo_sum_loss, _RATIO),
    "ipo_mean": _Row(losses.ipo_mean_loss, _TOKEN_RATIO),
    "sigmoid_norm": _Row(losses.sigmoid_norm_loss, _TOKEN_RATIO),
    "exo_pair": _Row(losses.exo_pair_loss, _RATIO),
    "nca_pair": _Row(losses.nca_pair_loss, _RATIO),
    "bco_pair": _Row(losses.bco_pair_loss, _RATIO),
    "sppo_hard": _Row(losses.sppo_hard_loss, _RATIO),
    "apo_zero": _Row(losses.apo_zero_loss, _RATIO),
    "apo_down": _Row(losses.apo_down_loss, _RATIO),
    "reference_free": _Row(losses.reference_free_loss, ("policy",)),
    "simpo": _Row(losses.simpo_loss, ("policy", "lengths")),
    "orpo": _Row(losses.orpo_loss, ("policy", "lengths")),
}


@dataclass(frozen=True)
class PreferenceLoss:
    """One loss of `PREFERENCE_LOSSES` with its options, and what is added to it.

    Attributes:
      config: The loss's.
    """

    config: LossConfig

    @property
    def needs_reference(self) -> bool:
        """Whether log-probabilities under the reference have to be computed."""
        return "reference" in self._row.takes

    @property
    def beta(self) -> float | None:
        """What makes rewards of log-ratios of sequences; None if it compares others."""
        return self.config.options()["beta"] if self._row.takes == _RATIO else None

    @property
    def start(self) -> float | None:
        """The loss of every pair while the policy is the reference; None without one.

        log 2 for DPO, 1 / (4 beta^2) for IPO, and so on; terms added not counted.
        """
        if not self.needs_reference:
            return None
        equal = PairLogps(jnp.zeros(1), jnp.zeros(1))
        lengths = PairLengths(jnp.ones(1, jnp.int32), jnp.ones(1, jnp.int32))
        return float(self.terms(ScoredPairs(equal, lengths, equal)).loss[0])

    def terms(self, pairs: ScoredPairs) -> PreferenceTerms:
        """The loss of each pair, importance weight included, and its rewards."""
        given = {name: getattr(pairs, name) for name in self._row.takes}
        terms = self._row.loss(**given, **self.config.options())
        max_weight = getattr(self.config, "max_importance_weight", None)
        if max_weight is None or pairs.reference is None:
            return terms
        weight = losses.importance_weight(
            pairs.policy, pairs.reference, max_weight=max_weight
        )
        return terms._replace(loss=weight * terms.loss)

    def sft_term(self, pairs: ScoredPairs) -> Float[Array, " B"] | None:
        """What imitating the chosen completion adds; None if the config does not.

        Weight times the negative log-likelihood: of RPO over a mean token, Eq. 1 of
        Pang et al. (arXiv:2404.19733); of the paper's code, `sft_reg`, over all.
        """
        term: SftTermConfig | None = getattr(self.config, "sft", None)
        if term is None:
            return None
        by_mean = term.loss == "token_mean"
        logps = losses.per_token(*pairs[:2]) if by_mean else pairs.policy
        return -term.weight * logps.chosen

    @property
    def _row(self) -> _Row:
        return PREFERENCE_LOSSES[self.config.name]
