"""The configs of preference losses: each has the options that it uses, and no other.

Formulas and sources are in `docs/losses.md` and beside the functions in `losses`.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from rlaif_jax.config_base import Config

SftLoss = Literal["sequence_sum", "token_mean"]  # over a completion's tokens


class SftTermConfig(Config):
    """Negative log-likelihood of the chosen completion, added to the loss."""

    weight: float = Field(default=1.0, gt=0)  # what it is multiplied by
    loss: SftLoss = "token_mean"  # of RPO; the paper's code has sequence_sum


class PreferenceLossConfig(Config):
    """What all preference losses have: a name, and what may be added to them."""

    def options(self) -> dict[str, Any]:
        """The loss's own options, as its function takes them."""
        return self.model_dump(exclude={"name", "sft", "max_importance_weight"})


class _Extended(PreferenceLossConfig):
    sft: SftTermConfig | None = None  # also imitate the chosen completion


class _Referenced(_Extended):
    max_importance_weight: float | None = Field(  # weigh by pi/pi_ref of the rejected
        default=None, gt=0, le=1e6
    )


class DpoLossConfig(_Referenced):
    """DPO; with label smoothing, cDPO."""

    name: Literal["dpo"] = "dpo"
    beta: float = Field(default=0.05, gt=0)  # pull towards the reference
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)  # wrong labels


class FlippedLossConfig(_Referenced):
    """Losses that need some labels to be wrong."""

    name: Literal["robust", "cdpo_over_beta"]
    beta: float = Field(default=0.05, gt=0)  # pull towards the reference
    label_smoothing: float = Field(default=0.1, gt=0, lt=0.5)  # wrong labels


class ExoPairLossConfig(_Referenced):
    """EXO on pairs."""

    name: Literal["exo_pair"]
    beta: float = Field(default=0.05, gt=0)  # pull towards the reference
    label_smoothing: float = Field(default=1e-3, gt=0, lt=0.5)  # wrong labels


class BetaLossConfig(_Referenced):
    """Losses of sequence log-ratios with one option."""

    name: Literal[
        "hinge",
        "ipo_sum",
        "nca_pair",
        "bco_pair",
        "sppo_hard",
        "apo_zero",
        "apo_down",
    ]
    beta: float = Field(default=0.05, gt=0)  # pull towards the reference


class TokenBetaLossConfig(_Referenced):
    """Losses of mean token log-ratios, which are small."""

    name: Literal["ipo_mean", "sigmoid_norm"]
    beta: float = Field(default=5.0, gt=0)  # pull towards the reference


class ReferenceFreeLossConfig(_Extended):
    """DPO without a reference."""

    name: Literal["reference_free"]
    beta: float = Field(default=0.05, gt=0)  # inverse temperature


class SimpoLossConfig(_Extended):
    """SimPO."""

    name: Literal["simpo"]
    beta: float = Field(default=2.0, gt=0)  # scale of mean token log-probabilities
    gamma: float = Field(default=1.0, ge=0)  # margin that is wanted, in nats


class OrpoLossConfig(PreferenceLossConfig):
    """ORPO, which has its own SFT term."""

    name: Literal["orpo"]
    odds_weight: float = Field(default=0.1, gt=0)  # of the odds ratio's penalty


def _dpo_by_default(value: Any) -> Any:
    """Lets `loss.beta=0.1` stand alone."""
    if isinstance(value, dict) and "name" not in value:
        return {"name": "dpo"} | value
    return value


LossConfig = Annotated[
    DpoLossConfig
    | FlippedLossConfig
    | ExoPairLossConfig
    | BetaLossConfig
    | TokenBetaLossConfig
    | ReferenceFreeLossConfig
    | SimpoLossConfig
    | OrpoLossConfig,
    Field(discriminator="name"),
    BeforeValidator(_dpo_by_default),
]
