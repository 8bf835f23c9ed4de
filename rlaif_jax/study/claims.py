"""Claims about arms, and what an interval says about each."""

import difflib
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from rlaif_jax.config import Config
from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.paired import Estimate, SeedOutcomes, pooled_contrast
from rlaif_jax.records import Record

_MINUS = "\N{MINUS SIGN}"


class ClaimConfig(Config):
    """A claim about arms, as a difference of win rates that should be positive.

    The difference is `greater - lesser`, less `minus_greater - minus_lesser` if those
    are given.
    """

    text: str  # the claim in words
    greater: str
    lesser: str
    minus_greater: str | None = None
    minus_lesser: str | None = None
    relation: Literal[">", ">="] = ">"
    margin: float = Field(default=0.0, ge=0)  # points that >= may fall short of zero

    @model_validator(mode="after")
    def _consistent(self) -> "ClaimConfig":
        if (self.minus_greater is None) != (self.minus_lesser is None):
            raise ValueError("minus_greater and minus_lesser go together")
        if self.margin and self.relation == ">":
            raise ValueError("a margin goes with relation: '>='")
        return self

    @property
    def weights(self) -> tuple[tuple[str, float], ...]:
        """The weight of each arm in the difference."""
        weights = [(self.greater, 1.0), (self.lesser, -1.0)]
        if self.minus_greater is not None and self.minus_lesser is not None:
            weights += [(self.minus_greater, -1.0), (self.minus_lesser, 1.0)]
        return tuple(weights)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that the claim is about."""
        return tuple(arm for arm, _ in self.weights)

    @property
    def formula(self) -> str:
        """The claim in symbols, such as `(a - b) > (c - d)`, with real minus signs."""
        sign = "\N{GREATER-THAN OR EQUAL TO}" if self.relation == ">=" else ">"
        short = f" {_MINUS} {self.margin:g} points" if self.margin else ""
        if self.minus_greater is None:
            return f"{self.greater} {sign} {self.lesser}{short}"
        gain = f"({self.greater} {_MINUS} {self.lesser})"
        other = f"({self.minus_greater} {_MINUS} {self.minus_lesser})"
        return f"{gain} {sign} {other}{short}"


class Headline(Config):
    """The two arms of the study's question: what should the strong model do?"""

    writes: str  # the strong model writes completions for this one
    judges: str  # and judges comparisons for this one


class ClaimVerdict(StrEnum):
    """What the data say of a claim."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    UNDECIDED = "undecided"


class ClaimResult(Record):
    """A verdict with the contrast behind it."""

    verdict: ClaimVerdict
    contrast: Estimate  # positive where the claim is right


def require_arms(claims: Mapping[str, ClaimConfig], arms: Collection[str]) -> None:
    """Refuses claims about arms that are not there.

    Raises:
      UsageError: With the claim, the unknown arm and the nearest known one.
    """
    for name, claim in claims.items():
        for arm in claim.arms:
            if arm not in arms:
                near = difflib.get_close_matches(arm, arms, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UsageError(f"claim {name!r} names the unknown arm {arm!r}{hint}")


def judge(claim: ClaimConfig, arms: Mapping[str, SeedOutcomes]) -> ClaimResult:
    """What the outcomes of the arms say of a claim.

    With [low, high] the 95 % interval of the claim's difference:

        >    supported if low > 0;         not supported if high <= 0
        >=   supported if low >= -margin;  not supported if high < -margin

    and undecided in between. With no margin, "at least as good" therefore asks for
    the same evidence as "better", short of equality: that an interval reaches
    below zero is never taken for a proof that two arms are equal.

    Raises:
      UsageError: If an arm is unknown, or the arms cannot be paired.
    """
    require_arms({claim.formula: claim}, arms)
    terms = [(weight, arms[name]) for name, weight in claim.weights]
    contrast = pooled_contrast(terms)
    if claim.relation == ">":
        holds, fails = contrast.low > 0, contrast.high <= 0
    else:
        holds, fails = contrast.low >= -claim.margin, contrast.high < -claim.margin
    if holds:
        return ClaimResult(verdict=ClaimVerdict.SUPPORTED, contrast=contrast)
    if fails:
        return ClaimResult(verdict=ClaimVerdict.NOT_SUPPORTED, contrast=contrast)
    return ClaimResult(verdict=ClaimVerdict.UNDECIDED, contrast=contrast)
