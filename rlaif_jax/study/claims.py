"""Claims about arms, and what an interval says about each."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Literal, get_args

from pydantic import Field, model_validator

from rlaif_jax.config import Config
from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.holm import holm
from rlaif_jax.evaluation.paired import Estimate, SeedOutcomes, pooled_contrast
from rlaif_jax.evaluation.random_effects import SIDE, Spread
from rlaif_jax.records import Record

Facet = Literal["base", "prompts"]  # in which arms may differ besides their training

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
    across: tuple[Facet, ...] = ()  # in which its arms differ, and are meant to

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
    across: tuple[Facet, ...] = ()  # in which the two differ, and are meant to


class ClaimVerdict(StrEnum):
    """What the data say of a claim."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    UNDECIDED = "undecided"


class ClaimResult(Record):
    """A verdict with the contrast behind it."""

    verdict: ClaimVerdict
    contrast: Estimate  # positive where the claim is right
    p_value: float  # one-sided, of what the claim asserts; small where it is right
    adjusted_p_value: float  # the same, corrected for all claims of the study


def differing(
    one: Mapping[Facet, str], other: Mapping[Facet, str]
) -> tuple[Facet, ...]:
    """In what two arms differ besides their training."""
    return tuple(f for f in get_args(Facet) if one.get(f) != other.get(f))


def require_said(
    what: str, arms: Mapping[str, Mapping[Facet, str]], across: Collection[Facet]
) -> None:
    """Refuses to compare arms that differ in more than their training without a word.

    Args:
      what: Compares them.
      arms: What has to be the same in all of them, unless it is said.
      across: What is said to differ.

    Raises:
      ValueError: If more differs, or less.
    """
    for facet in get_args(Facet):
        values = {name: facets[facet] for name, facets in arms.items()}
        differs = len({*values.values()}) > 1
        told = ", ".join(f"{name!r} has {value}" for name, value in values.items())
        if differs and facet not in across:
            raise ValueError(
                f"{what} compares arms that differ in {facet}: {told}; if that is what"
                f" it is about, say so with across: [{facet}]"
            )
        if facet in across and not differs:
            raise ValueError(
                f"{what} is across {facet}, in which its arms do not differ: {told}"
            )


def require_alike(what: str, arms: Sequence[tuple[str, Mapping[Facet, str]]]) -> None:
    """Refuses to judge two arms against each other that are no fair pair.

    Args:
      what: Has them judged.
      arms: The two, each with what has to be the same in both.

    Raises:
      ValueError: If they are one arm, or differ in more than their training.
    """
    (one, its), (other, others) = arms
    if one == other:
        raise ValueError(f"{what} judges an arm against itself: name two arms")
    for facet in differing(its, others):
        raise ValueError(
            f"{what} judges arms that differ in {facet}: {one!r} has {its[facet]},"
            f" {other!r} has {others[facet]}; a pair is of arms that differ in their"
            f" training alone, a claim may be across: [{facet}]"
        )


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


def judge(
    claims: Mapping[str, ClaimConfig],
    arms: Mapping[str, SeedOutcomes],
    *,
    spread: Spread | None = None,
) -> dict[str, ClaimResult]:
    """What the outcomes of the arms say of a study's claims, taken together.

    A claim is tested on both sides of its bound, which is 0 for `>` and `-margin` for
    `>=`: that its difference lies above, and that it lies below. A verdict is given
    where the one-sided p-value, corrected by Holm for the number of claims, is at
    most 0.025: `supported` of the first test, `not supported` of the second. So under
    no effect the chance of any false `supported` is at most 2.5 %, and that of any
    false verdict at most 5 %, as many claims as there may be. A single claim is
    supported exactly where its 95 % interval lies above the bound; of several, one
    may stay undecided though its own interval does.

    With no margin, "at least as good" asks for the same evidence as "better": that an
    interval reaches below zero is never taken for a proof that two arms are equal. A
    margin says how many points may be lost to equality, and must be set beforehand.

    Args:
      claims: By name.
      arms: What every arm won.
      spread: Between the seeds of the study's arms.

    Raises:
      UsageError: If an arm is unknown, or the arms cannot be paired.
    """
    require_arms(claims, arms)
    contrasts = {
        name: pooled_contrast(_terms(claim, arms), spread=spread)
        for name, claim in claims.items()
    }
    above = [contrasts[name].p_above(-claim.margin) for name, claim in claims.items()]
    rows = zip(contrasts.items(), above, holm(above), verdicts(above), strict=True)
    return {
        name: ClaimResult(
            verdict=verdict, contrast=contrast, p_value=p, adjusted_p_value=adjusted
        )
        for (name, contrast), p, adjusted, verdict in rows
    }


def verdicts(above: Sequence[float]) -> list[ClaimVerdict]:
    """What the one-sided p-values of claims, and of their opposites, say together."""
    below = [1.0 - p for p in above]
    return [
        ClaimVerdict.SUPPORTED
        if claimed <= SIDE
        else ClaimVerdict.NOT_SUPPORTED
        if opposite <= SIDE
        else ClaimVerdict.UNDECIDED
        for claimed, opposite in zip(holm(above), holm(below), strict=True)
    ]


def _terms(
    claim: ClaimConfig, arms: Mapping[str, SeedOutcomes]
) -> list[tuple[float, SeedOutcomes]]:
    """Every arm of a claim once, with its whole weight."""
    weights: dict[str, float] = {}
    for name, weight in claim.weights:
        weights[name] = weights.get(name, 0.0) + weight
    return [(weight, arms[name]) for name, weight in weights.items()]
