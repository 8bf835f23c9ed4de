"""What the report's template shows of one study, worked out beforehand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlaif_jax.evaluation.evaluator_audit import Line, evaluator_lines
from rlaif_jax.evaluation.paired import Estimate
from rlaif_jax.study.bill import Bill, Role
from rlaif_jax.study.claims import ClaimResult
from rlaif_jax.study.data_build import DataBuild
from rlaif_jax.study.drawing import arm_colors
from rlaif_jax.study.figures import win_rate_figure
from rlaif_jax.study.frontier import CostPoint, cost_points, frontier
from rlaif_jax.study.joint import JointGroup
from rlaif_jax.study.pictures import Picture, draw_picture, draw_pictures
from rlaif_jax.study.published import Gap, published
from rlaif_jax.study.results import Difference, Sample, SecondOpinion, StudyResults
from rlaif_jax.study.rewards import REWARDS, final_rewards
from rlaif_jax.study.summary import caveats, findings, matched

_VERDICTS = {1.0: "won", 0.0: "lost", 0.5: "draw"}
MANY_PAIRS = 15  # differences that are worth reading one by one
ROLES: tuple[Role, ...] = ("teacher", "critic", "evaluator")


@dataclass(frozen=True)
class Scale:
    """Where values lie on a strip, in percent of its width."""

    low: float
    high: float

    def place(self, value: float) -> str:
        """The position of a value, as the template writes it."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"


@dataclass(frozen=True)
class JointPage:
    """Studies that can be compared, ready for the template.

    Attributes:
      scale: Of the strips of how far arms are behind the best.
    """

    group: JointGroup
    scale: Scale
    pictures: dict[str, Picture]


@dataclass(frozen=True)
class StudyPage:
    """One study, ready for the template.

    Attributes:
      name: What tells it from the other studies of the page; empty if alone.
      matched: What the arms use the same amount of; empty if unknown.
      measures: Names of the measures that every arm has.
      families: Names of the task families that every arm met.
      scale: Of the differences' strips; `claim_scale` is of the claims'.
      worth: The arms that are not dominated: by `usd`, by `device_s`, by `both`.
      rewards: Arm to measure to its value at the end of training on preferences.
      every_opinion: Bootstrap and sign test of all pairs alike but in training.
    """

    name: str
    results: StudyResults
    findings: list[str]
    caveats: list[str]
    matched: str
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
    worth: dict[str, tuple[str, ...]]
    rewards: dict[str, dict[str, float]]
    every_opinion: Sequence[SecondOpinion]
    pictures: dict[str, Picture]

    @property
    def headline_difference(self) -> Difference | None:
        """The arm that writes against the arm that judges, the larger first."""
        headline = self.results.headline
        if headline is None:
            return None
        arms = {headline.writes, headline.judges}
        return next(pair for pair in self.differences if {pair.a, pair.b} == arms)

    @property
    def best(self) -> str:
        """The arm with the highest win rate."""
        return max(self.rates, key=lambda name: self.rates[name].value)

    @property
    def of_best(self) -> list[Difference]:
        """The best arm over every other that differs from it in training alone."""
        return [pair for pair in self.alike if pair.a == self.best]

    @property
    def alike(self) -> list[Difference]:
        """The differences of arms that differ in their training alone."""
        return [pair for pair in self.differences if not pair.across]

    @property
    def across(self) -> list[Difference]:
        """The differences of arms that differ in their base or their prompts too."""
        return [pair for pair in self.differences if pair.across]

    @property
    def leading(self) -> list[Difference]:
        """The differences that are shown first."""
        return self.alike if len(self.alike) <= MANY_PAIRS else self.of_best

    @property
    def opinions(self) -> list[SecondOpinion]:
        """Bootstrap and sign test of the differences that are shown first."""
        found = {(one.a, one.b): one for one in self.every_opinion}
        found |= {(one.b, one.a): one.reversed() for one in self.every_opinion}
        return [found[pair.a, pair.b] for pair in self.leading]

    @property
    def gaps(self) -> list[tuple[str, Gap]]:
        """The paper's gaps that rest on the figure set beside the study's."""
        figure = self.results.published
        return [] if figure is None else published().gaps_of(figure)

    @property
    def reward_measures(self) -> list[str]:
        """The rewards that any arm has at its end."""
        found = {name for ends in self.rewards.values() for name in ends}
        return [name for name in REWARDS if name in found]

    @property
    def has_agreement(self) -> bool:
        """Whether two critics judged the same comparisons."""
        return any(audit.agreement for audit in self.results.audits)

    @property
    def evaluator_lines(self) -> list[tuple[Line, str, str]]:
        """What is known of the evaluator, if it was audited."""
        found = self.results.evaluator_audit
        return [] if found is None else evaluator_lines(found)

    @property
    def builds(self) -> list[tuple[DataBuild, list[str]]]:
        """What went in: one of those of equal counts, and the arms of all of them."""
        found: dict[str, tuple[DataBuild, list[str]]] = {}
        for build in self.results.builds:
            counts = build.model_dump_json(exclude={"arms"})
            found.setdefault(counts, (build, []))[1].extend(build.arms)
        return list(found.values())

    def verdict(self, sample: Sample, writer: str) -> str:
        """What the evaluator said of a completion; empty if that is not known."""
        if writer not in self.results.arms:
            return ""
        outcomes = self.results.arms[writer].seeds[0].outcomes
        if sample.prompt_id not in outcomes:
            return ""
        won = outcomes[sample.prompt_id]
        return "no verdict" if won is None else _VERDICTS.get(won, f"won {won:.2f}")


def study_page(
    results: StudyResults,
    opinions: Sequence[SecondOpinion],
    *,
    name: str,
    figures: Path,
) -> StudyPage:
    """Works out everything that the template shows, and writes the figures.

    Args:
      results: The study.
      opinions: Its second opinions.
      name: What tells it from the other studies of the page; empty if alone.
      figures: The folder for its figures.
    """
    differences = [pair.positive() for pair in results.differences()]
    claims = results.claim_results()
    return StudyPage(
        name=name,
        results=results,
        findings=findings(results),
        caveats=caveats(results),
        matched=matched(results),
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
        worth=_worth(cost_points(results)),
        rewards=final_rewards(results),
        every_opinion=opinions,
        pictures=draw_pictures(results, figures),
    )


def joint_page(group: JointGroup, figure: Path) -> JointPage:
    """Works out what the template shows of several studies, and writes the figure.

    Args:
      group: Two or more studies.
      figure: The path of the figure, without an ending.
    """
    behind = [one.behind for one in group.arms if one.behind is not None]
    picture = draw_picture(win_rate_figure, group.merged, figure)
    return JointPage(group, _scale(behind), {"win_rates": picture})


def _worth(points: dict[str, CostPoint]) -> dict[str, tuple[str, ...]]:
    """The arms that are not dominated, by every kind of cost and by all at once."""
    return {
        "usd": frontier({name: (p.usd, p.win_rate) for name, p in points.items()}),
        "device_s": frontier(
            {name: (p.device_s, p.win_rate) for name, p in points.items()}
        ),
        "both": frontier(points),
    }


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
