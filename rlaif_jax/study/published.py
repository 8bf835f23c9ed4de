"""The paper's published numbers and claims, to be set beside one's own."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from rlaif_jax.config_file import read_yaml
from rlaif_jax.normal import NORMAL_95
from rlaif_jax.records import Record
from rlaif_jax.typing import Number

_FILE = Path(__file__).parent / "published.yaml"

Part = Literal[  # that an arm plays in the paper; 10: on a tenth of the prompts
    "base",
    "sft_weak",
    "sft_weak_10",
    "rlaif_weak",
    "sft_strong",
    "sft_strong_10",
    "rlaif_strong",
]

_PARTS: dict[Part, str] = {
    "base": "the base model itself",
    "sft_weak": "SFT on the weak teacher",
    "sft_weak_10": "SFT on the weak teacher, a tenth of the prompts",
    "rlaif_weak": "AI feedback after the weak teacher",
    "sft_strong": "SFT on the strong teacher",
    "sft_strong_10": "SFT on the strong teacher, a tenth of the prompts",
    "rlaif_strong": "AI feedback after the strong teacher",
}


class PublishedBar(Record):
    """One published win rate, in percent."""

    base: str
    arm: Part
    win_rate: float
    standard_error: float | None = None
    n: int | None = None  # comparisons, where the digits prove how many
    sft_percent: float | None = None  # of the prompts
    pairs_from: str | None = None  # the base model whose samples were compared
    evaluator: str | None = None  # where it differs within a figure

    @property
    def described(self) -> str:
        """The arm in words, with what else tells the bar from others."""
        told = [_PARTS[self.arm]]
        if self.sft_percent is not None:
            told.append(f"{self.sft_percent:g}\N{NO-BREAK SPACE}% of the prompts")
        if self.pairs_from is not None:
            told.append(f"pairs from {self.pairs_from}")
        if self.evaluator is not None:
            told.append(f"judged by {self.evaluator}")
        return "; ".join(told)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The normal 95 % interval, over prompts alone; None without an error."""
        if self.standard_error is None:
            return None
        half = NORMAL_95 * self.standard_error
        return (self.win_rate - half, self.win_rate + half)


class PublishedFigure(Record):
    """One figure or table."""

    title: str
    teachers: dict[str, str] = Field(default_factory=dict)  # by weak and strong
    critic: str | None = None
    evaluator: str | None = None
    bars: tuple[PublishedBar, ...]
    notes: tuple[str, ...] = ()  # what in it does not fit


class Evidence(Record):
    """Which bars speak for a claim, each by what tells it from all others."""

    title: str
    plus: tuple[dict[str, str | Number], ...]
    minus: tuple[dict[str, str | Number], ...]


class PublishedClaim(Record):
    """One claim of the paper, with the parts that arms play in it."""

    text: str
    greater: str | None = None  # these as in `ClaimConfig`
    lesser: str | None = None
    minus_greater: str | None = None
    minus_lesser: str | None = None
    relation: Literal[">", ">="] = ">"
    margin: float = 0.0
    tested_by: str = "study"  # the verb that can test it
    evidence: tuple[Evidence, ...] = ()


class Gap(Record):
    """A difference of published win rates, in percentage points."""

    title: str
    value: float
    standard_error: float  # of unpaired win rates, which is what was published

    @property
    def interval(self) -> tuple[float, float] | None:
        """The normal 95 % interval, over prompts alone; None without an error."""
        if math.isnan(self.standard_error):
            return None
        half = NORMAL_95 * self.standard_error
        return (self.value - half, self.value + half)

    @property
    def z(self) -> float:
        """The gap in standard errors."""
        return self.value / self.standard_error


class Published(Record):
    """Everything that was published in numbers."""

    source: str
    notes: tuple[str, ...]
    figures: dict[str, PublishedFigure]
    claims: dict[str, PublishedClaim]

    def bar(self, wanted: Mapping[str, str | Number]) -> PublishedBar:
        """The one bar of `wanted["figure"]` whose other fields are as wanted.

        Raises:
          ValueError: If there is no such bar, or there are several.
        """
        fields = {key: value for key, value in wanted.items() if key != "figure"}
        bars = self.figures[str(wanted["figure"])].bars
        found = [bar for bar in bars if fields.items() <= bar.model_dump().items()]
        if len(found) != 1:
            raise ValueError(f"{len(found)} bars are {dict(wanted)}, not 1")
        return found[0]

    def gaps(self, claim: str) -> list[Gap]:
        """What the published bars say of a claim: positive where it is right."""
        return [self._gap(one) for one in self.claims[claim].evidence]

    def gaps_of(self, figure: PublishedFigure) -> list[tuple[str, Gap]]:
        """Claim and gap of all evidence that has a bar of a figure, by its title."""
        of_it = {key for key, one in self.figures.items() if one.title == figure.title}
        return [
            (claim, self._gap(one))
            for claim, said in self.claims.items()
            for one in said.evidence
            if of_it & {wanted["figure"] for wanted in (*one.plus, *one.minus)}
        ]

    def _gap(self, evidence: Evidence) -> Gap:
        plus = [self.bar(wanted) for wanted in evidence.plus]
        minus = [self.bar(wanted) for wanted in evidence.minus]
        value = sum(bar.win_rate for bar in plus) - sum(bar.win_rate for bar in minus)
        errors = [bar.standard_error or math.nan for bar in (*plus, *minus)]
        return Gap(
            title=evidence.title, value=value, standard_error=math.hypot(*errors)
        )


@functools.cache
def published() -> Published:
    """The paper's numbers, as published.yaml has them."""
    return Published.model_validate(read_yaml(_FILE))
