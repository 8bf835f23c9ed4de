"""What a study measured, and what follows from it."""

import itertools
import math
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from rlaif_jax.evaluation.bootstrap import Bootstrap
from rlaif_jax.evaluation.evaluator_audit import EvaluatorAudit
from rlaif_jax.evaluation.holm import holm
from rlaif_jax.evaluation.paired import (
    Estimate,
    SeedOutcomes,
    SignTest,
    pooled_bootstrap,
    pooled_difference,
    pooled_sign_test,
    pooled_win_rate,
    seed_spread,
)
from rlaif_jax.evaluation.power import Power, power
from rlaif_jax.evaluation.random_effects import Spread
from rlaif_jax.records import Record
from rlaif_jax.study.arms import BudgetConfig
from rlaif_jax.study.bill import Bill, Stage, arm_bill, total_bill
from rlaif_jax.study.claims import (
    ClaimConfig,
    ClaimResult,
    Facet,
    Headline,
    differing,
    judge,
)
from rlaif_jax.study.data_build import DataBuild, Overlap
from rlaif_jax.study.label_audit import LabelAudit
from rlaif_jax.study.published import PublishedFigure
from rlaif_jax.study.settings import Setting

Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class SeedResult(Record):
    """One policy, trained with one seed and evaluated."""

    seed: int
    outcomes: dict[str, Share | None]  # prompt id -> won against the baseline
    mean_completion_tokens: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    length_rate: Share  # of completions that were cut at the token limit
    measures: dict[str, Finite] = Field(
        default_factory=dict
    )  # whatever else is known: true_reward, accuracy
    family_accuracy: dict[str, Share] = Field(
        default_factory=dict
    )  # by kind of task, where truth is known


class Arm(Record):
    """One way to train, over its seeds."""

    description: str = ""
    prompts: int | None = None  # that it learned from, in the first seed
    facets: dict[Facet, str] = Field(default_factory=dict)  # that comparisons share
    seeds: Annotated[tuple[SeedResult, ...], Field(min_length=1)]

    @property
    def outcomes(self) -> SeedOutcomes:
        """What every seed won on every prompt."""
        return {result.seed: result.outcomes for result in self.seeds}

    @property
    def measures(self) -> dict[str, float]:
        """The mean over seeds of every measure that all seeds have."""
        names = set.intersection(*(set(result.measures) for result in self.seeds))
        ordered = [name for name in self.seeds[0].measures if name in names]
        return {
            name: _mean([result.measures[name] for result in self.seeds])
            for name in ordered
        }

    @property
    def mean_completion_tokens(self) -> float:
        """The mean over seeds of the mean length."""
        return _mean([result.mean_completion_tokens for result in self.seeds])

    @property
    def length_rate(self) -> float:
        """The mean over seeds of the share that was cut."""
        return _mean([result.length_rate for result in self.seeds])

    @property
    def family_accuracy(self) -> dict[str, float]:
        """The mean over seeds of the accuracy on each family that all seeds met."""
        families = set.intersection(*(set(seed.family_accuracy) for seed in self.seeds))
        return {
            family: _mean([result.family_accuracy[family] for result in self.seeds])
            for family in sorted(families)
        }


class Curve(Record):
    """One measure of one training run, step by step."""

    arm: str
    seed: int
    stage: str  # sft or dpo
    measure: str  # loss, margin, ...
    steps: tuple[int, ...]
    values: tuple[float | None, ...]  # None where it was not finite

    @field_validator("values", mode="after")
    @classmethod
    def _finite_or_none(
        cls, values: tuple[float | None, ...]
    ) -> tuple[float | None, ...]:
        return tuple(v if v is not None and math.isfinite(v) else None for v in values)

    @model_validator(mode="after")
    def _as_many_values_as_steps(self) -> "Curve":
        if len(self.steps) != len(self.values):
            raise ValueError(f"{len(self.values)} values for {len(self.steps)} steps")
        return self


class Sample(Record):
    """One evaluation prompt with what each arm wrote."""

    prompt: str
    completions: dict[str, str]  # arm, or any other writer -> text
    prompt_id: str = ""  # of the outcomes of the first seed, whose texts these are


class Judging(Record):
    """What win rates must share to be compared, beside the prompts: as hashes."""

    baseline: str  # of the baseline's texts, prompt by prompt
    evaluator: str  # of its config and protocol


class Direct(Record):
    """Arm `a` judged against arm `b` itself, not against the baseline."""

    a: str
    b: str
    win_rate: Estimate  # of a, in percent


class Difference(Record):
    """The win rate of arm `a` minus that of arm `b`."""

    a: str
    b: str
    estimate: Estimate
    adjusted_p_value: float  # two-sided, corrected for all differences of the study
    across: tuple[Facet, ...] = ()  # in which they differ besides their training

    @property
    def power(self) -> Power:
        """What such a study can see of a true difference of 3 points."""
        return power(self.estimate)

    def positive(self) -> "Difference":
        """The same difference the way round in which it is not negative."""
        if self.estimate.value >= 0:
            return self
        reversed_ = {"a": self.b, "b": self.a, "estimate": self.estimate.reversed()}
        return self.model_copy(update=reversed_)


class SecondOpinion(Record):
    """The difference of arm `a` and arm `b` by methods that suppose less."""

    a: str
    b: str
    bootstrap: Bootstrap  # beside the interval of the difference
    sign_test: SignTest  # beside its p-value; of prompts alone

    def reversed(self) -> "SecondOpinion":
        """The same of arm `b` and arm `a`."""
        drawn, signs = self.bootstrap, self.sign_test
        # from zero, which leaves a zero its sign
        ends = {"low": 0.0 - drawn.high, "high": 0.0 - drawn.low}
        counts = {"n_better": signs.n_worse, "n_worse": signs.n_better}
        return SecondOpinion(
            a=self.b,
            b=self.a,
            bootstrap=drawn.model_copy(update=ends),
            sign_test=signs.model_copy(update=counts),
        )


class StudyResults(Record):
    """Everything a report is drawn from."""

    title: str = "Is it better to let the strong model write, or judge?"
    arms: Annotated[dict[str, Arm], Field(min_length=1)]  # in the order to be shown
    baseline: str  # whose completions the arms are compared with
    evaluator: str  # who compares
    budget: BudgetConfig | None = None  # None: by an older version, which kept none
    headline: Headline | None = None
    claims: dict[str, ClaimConfig] = Field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    curves: tuple[Curve, ...] = ()
    samples: tuple[Sample, ...] = ()
    evaluator_audit: EvaluatorAudit | None = None  # None of results without verdicts
    audits: tuple[LabelAudit, ...] = ()
    builds: tuple[DataBuild, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    settings: tuple[Setting, ...] = ()  # those in which the arms differ
    published: PublishedFigure | None = None  # of the paper, to be set beside
    judging: Judging | None = None  # None of studies before it was recorded
    seconds: Annotated[float, Field(ge=0)]  # wall time of the whole study
    command: str  # what to type to get these results again
    versions: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()  # further caveats, for the report
    self_judged: tuple[str, ...] = ()  # models that were critic and evaluator
    direct: tuple[Direct, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "StudyResults":
        named = [(self.headline.writes, self.headline.judges)] if self.headline else []
        named += [one.arms for one in (*self.stages, *self.audits, *self.builds)]
        unknown = {arm for arms in named for arm in arms} - set(self.arms)
        if unknown:
            raise ValueError(f"no arm is called {sorted(unknown)[0]!r}")
        stage_ids = [stage.stage_id for stage in self.stages]
        if len(set(stage_ids)) != len(stage_ids):
            raise ValueError("a stage is listed twice: list it once with all its arms")
        return self

    def spread(self) -> Spread:
        """How far the seeds of one arm lie apart, as all arms tell it together."""
        return seed_spread(arm.outcomes for arm in self.arms.values())

    def win_rates(self) -> dict[str, Estimate]:
        """The win rate of every arm against the baseline."""
        spread = self.spread()
        return {
            name: pooled_win_rate(arm.outcomes, spread=spread)
            for name, arm in self.arms.items()
        }

    def difference(self, a: str, b: str) -> Estimate:
        """The win rate of arm `a` minus that of arm `b`, of this study."""
        return pooled_difference(
            self.arms[a].outcomes, self.arms[b].outcomes, spread=self.spread()
        )

    def differences(self) -> list[Difference]:
        """Every arm minus every later one.

        Each interval holds for itself; the p-values are corrected for all pairs.
        """
        pairs = list(itertools.combinations(self.arms, 2))
        spread = self.spread()
        outcomes = {name: arm.outcomes for name, arm in self.arms.items()}
        estimates = [
            pooled_difference(outcomes[a], outcomes[b], spread=spread) for a, b in pairs
        ]
        corrected = holm([estimate.p_different for estimate in estimates])
        return [
            Difference(
                a=a,
                b=b,
                estimate=estimate,
                adjusted_p_value=p,
                across=differing(self.arms[a].facets, self.arms[b].facets),
            )
            for (a, b), estimate, p in zip(pairs, estimates, corrected, strict=True)
        ]

    def second_opinion(self, a: str, b: str) -> SecondOpinion:
        """Bootstrap and sign test of arm `a` against arm `b`."""
        ours, theirs = self.arms[a].outcomes, self.arms[b].outcomes
        return SecondOpinion(
            a=a,
            b=b,
            bootstrap=pooled_bootstrap(ours, theirs),
            sign_test=pooled_sign_test(ours, theirs),
        )

    def second_opinions(self) -> list[SecondOpinion]:
        """Those of every arm against every later one that differs in training alone."""
        facets = {name: arm.facets for name, arm in self.arms.items()}
        return [
            self.second_opinion(a, b)
            for a, b in itertools.combinations(facets, 2)
            if not differing(facets[a], facets[b])
        ]

    def claim_results(self) -> dict[str, ClaimResult]:
        """What the data say of every claim."""
        outcomes = {name: arm.outcomes for name, arm in self.arms.items()}
        return judge(self.claims, outcomes, spread=self.spread())

    def bills(self) -> dict[str, Bill]:
        """What every arm would have cost alone."""
        return {name: arm_bill(self.stages, name) for name in self.arms}

    def total(self) -> Bill:
        """What the study cost: a shared stage counts once."""
        return total_bill(self.stages)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
