"""What the report's template shows of one study, worked out beforehand."""

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from rlaif_jax.evaluation.paired import Estimate
from rlaif_jax.figures import save_figure
from rlaif_jax.study.bill import Bill, Role
from rlaif_jax.study.claims import ClaimResult
from rlaif_jax.study.figures import (
    NARROW,
    WIDE,
    arm_colors,
    curves_figure,
    differences_figure,
    price_figure,
    win_rate_figure,
)
from rlaif_jax.study.results import Difference, StudyResults
from rlaif_jax.study.summary import caveats, findings

ROLES: tuple[Role, ...] = ("teacher", "critic", "evaluator")


@dataclass(frozen=True)
class Picture:
    """One figure as data URIs: for a page, and for a phone."""

    wide: str
    narrow: str


@dataclass(frozen=True)
class Scale:
    """Where values lie on a strip, in percent of its width."""

    low: float
    high: float

    def place(self, value: float) -> str:
        """The position of a value, as the template writes it."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"


@dataclass(frozen=True)
class StudyPage:
    """One study, ready for the template.

    Attributes:
      name: What tells it from the other studies of the page; empty if alone.
      measures: Names of the measures that every arm has.
      families: Names of the task families that every arm met.
      scale: Of the differences' strips; `claim_scale` is of the claims'.
    """

    name: str
    results: StudyResults
    findings: list[str]
    caveats: list[str]
    colors: dict[str, str]
    rates: dict[str, Estimate]
    bills: dict[str, Bill]
    total: Bill
    differences: list[Difference]
    claims: dict[str, ClaimResult]
    measures: list[str]
    families: list[str]
    writers: list[str]
    scale: Scale
    claim_scale: Scale
    pictures: dict[str, Picture]

    @property
    def headline_difference(self) -> Difference | None:
        """The arm that writes against the arm that judges, the larger first."""
        headline = self.results.headline
        if headline is None:
            return None
        arms = {headline.writes, headline.judges}
        return next(pair for pair in self.differences if {pair.a, pair.b} == arms)


def study_page(results: StudyResults, *, name: str, figures: Path) -> StudyPage:
    """Works out everything that the template shows, and writes the figures.

    Args:
      results: The study.
      name: What tells it from the other studies of the page; empty if alone.
      figures: The folder for its figures as PNG.
    """
    differences = [pair.positive() for pair in results.differences()]
    claims = results.claim_results()
    return StudyPage(
        name=name,
        results=results,
        findings=findings(results),
        caveats=caveats(results),
        colors=arm_colors(results),
        rates=results.win_rates(),
        bills=results.bills(),
        total=results.total(),
        differences=differences,
        claims=claims,
        measures=_shared(list(arm.measures) for arm in results.arms.values()),
        families=_shared(list(arm.family_accuracy) for arm in results.arms.values()),
        writers=_writers(results),
        scale=_scale([pair.estimate for pair in differences]),
        claim_scale=_scale([result.contrast for result in claims.values()]),
        pictures=_pictures(results, figures),
    )


def _pictures(results: StudyResults, folder: Path) -> dict[str, Picture]:
    """Draws every figure that the study has data for, as PNG and for the page."""
    drawings: dict[str, Callable[..., Figure]] = {"win_rates": win_rate_figure}
    if any(bill.making_usd for bill in results.bills().values()):
        drawings["price"] = price_figure
    if results.curves:
        drawings["training"] = curves_figure
    pictures = {}
    for name, draw in drawings.items():
        figure = draw(results, width=WIDE)
        save_figure(figure, folder / f"{name}.png")
        narrow = draw(results, width=NARROW)
        pictures[name] = Picture(wide=_svg_uri(figure), narrow=_svg_uri(narrow))
    if len(results.arms) > 1:  # the page has its own strips for these
        save_figure(differences_figure(results), folder / "differences.png")
    return pictures


def _svg_uri(figure: Figure) -> str:
    """The figure as a data URI: as an image, nothing in it can run."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "rlaif_jax"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def _shared(names: Iterable[list[str]]) -> list[str]:
    """What all lists have, in the order of the first."""
    first, *others = names
    return [name for name in first if all(name in other for other in others)]


def _writers(results: StudyResults) -> list[str]:
    """Who wrote samples: the arms in their order, then anyone else."""
    found = [writer for sample in results.samples for writer in sample.completions]
    return list(dict.fromkeys([arm for arm in results.arms if arm in found] + found))


def _scale(estimates: list[Estimate]) -> Scale:
    """A scale that holds zero and every interval, with a margin."""
    ends = [0.0, *(e.low for e in estimates), *(e.high for e in estimates)]
    margin = 0.05 * (max(ends) - min(ends)) or 1.0
    return Scale(min(ends) - margin, max(ends) + margin)
