"""What a study compares: arms as data, and the recipe that all of them share."""

from collections.abc import Collection
from pathlib import Path

from pydantic import Field, model_validator

from rlaif_jax.config import Config, PromptsConfig
from rlaif_jax.config_endpoints import ChatConfig, JudgeConfig, Orders
from rlaif_jax.config_parts import LabVariant, TokensConfig
from rlaif_jax.config_validation import require_disjoint
from rlaif_jax.study.arms import ArmConfig, BudgetConfig
from rlaif_jax.study.claims import (
    ClaimConfig,
    Facet,
    Headline,
    require_alike,
    require_said,
)
from rlaif_jax.study.published import published
from rlaif_jax.study.recipes import (
    BaseConfig,
    DpoRecipe,
    EvaluationConfig,
    SamplingRecipe,
    SftRecipe,
)


class EmbeddedLabConfig(Config):
    """The embedded lab, which the study serves itself while it runs."""

    variant: LabVariant = "default"
    world: Path = Path("runs/lab")  # its files; written if they are not there


class ForecastConfig(Config):
    """What is assumed of what nobody knows before; done stages tell better."""

    pilot: int = Field(default=0, ge=0)  # prompts each model is asked about first, paid
    completion_tokens: dict[str, float] = Field(  # of teachers.NAME, critics.NAME or
        default_factory=dict  # evaluator; half of max_tokens, if neither tells
    )
    imitation: float = Field(
        default=0.7, ge=0, le=1
    )  # texts a student has off by heart
    flops_per_s: float | None = Field(
        default=None, gt=0
    )  # of all devices; null: unknown


class StudyConfig(Config):
    """`study`: arms x seeds, and everything they share."""

    name: str
    title: str = "Is it better to let the strong model write, or judge?"
    notes: tuple[str, ...] = ()  # caveats for the report
    published: str | None = None  # a figure of the paper for the report: figure_3, ...
    lab: EmbeddedLabConfig | None = None  # null: the models are served elsewhere
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    prompts: PromptsConfig  # its seed is the study's
    teachers: dict[str, ChatConfig]
    critics: dict[str, JudgeConfig] = Field(default_factory=dict)
    baseline: str  # the teacher whose completions policies are compared with
    base: BaseConfig | None = None  # of every arm
    bases: dict[str, BaseConfig] = Field(default_factory=dict)  # instead: an arm's own
    tokens: TokensConfig = TokensConfig()
    sft: SftRecipe
    dpo: DpoRecipe | None = None
    student_sampling: SamplingRecipe = SamplingRecipe(temperature=1.0)
    label_orders: Orders = "both"
    evaluation: EvaluationConfig
    arms: dict[str, ArmConfig] = Field(min_length=1)
    budget: BudgetConfig = BudgetConfig()
    claims: dict[str, ClaimConfig] = Field(default_factory=dict)
    headline: Headline | None = None
    workers: int = Field(default=1, ge=1)  # processes that run stages side by side
    forecast: ForecastConfig = ForecastConfig()
    dry_run: bool = False  # say what it would ask, cost and compute, and end

    def base_of(self, name: str) -> BaseConfig:
        """The model that an arm starts from."""
        if self.base is not None:
            return self.base
        arm = self.arms[name]
        return self.bases[arm.base or next(iter(self.bases))]

    def base_name(self, name: str) -> str:
        """The name of that model; empty where all arms start from one."""
        return self.arms[name].base or next(iter(self.bases), "")

    def label_arm(self, name: str) -> str | None:
        """The arm on whose labels an arm is trained: often itself; None: on none."""
        arm = self.arms[name]
        return arm.pairs_of or (name if arm.critic is not None else None)

    def splits_of(self, name: str) -> tuple[str, ...]:
        """Every split of the training prompts that an arm learns from."""
        return tuple(self.holders_of(name))

    def holders_of(self, name: str) -> dict[str, str]:
        """Each of these splits with the arm whose `at_most` of it holds.

        Judged splits are of the arm that the labels are of.
        """
        holders = dict.fromkeys(self.arms[name].sft_splits, name)
        if (source := self.label_arm(name)) is not None:
            holders |= dict.fromkeys(self.arms[source].aif_splits, source)
        return holders

    def facets_of(self, name: str) -> dict[Facet, str]:
        """What of an arm has to be the same in one that it is compared with.

        Prompts are not that where arms may spend the same on as many as it buys.
        """
        if self.budget.match == "usd":
            return {
                "base": self.base_name(name),
                "prompts": "as many as the budget buys",
            }
        most = {
            split: self.arms[holder].at_most.get(split)
            for split, holder in self.holders_of(name).items()
        }
        told = (f"{most[s]} of {s}" if most[s] else s for s in sorted(most))
        return {"base": self.base_name(name), "prompts": " + ".join(told) or "none"}

    @model_validator(mode="after")
    def _names(self) -> "StudyConfig":
        if (self.base is None) == (not self.bases):
            raise ValueError("give either base or bases")
        wanted: list[tuple[str, str | None, Collection[str]]] = [
            ("teacher", self.baseline, self.teachers)
        ]
        for arm in self.arms.values():
            wanted.append(("base", arm.base, self.bases))
            wanted.append(("teacher", arm.teacher, self.teachers))
            wanted.append(("critic", arm.critic, self.critics))
            wanted.append(("arm", arm.pairs_of, self.arms))
        roles = {f"teachers.{one}" for one in self.teachers} | {"evaluator"}
        roles |= {f"critics.{one}" for one in self.critics}
        told = self.forecast.completion_tokens
        wanted += [("role in forecast.completion_tokens", one, roles) for one in told]
        named = [name for c in self.claims.values() for name, _ in c.weights]
        if self.headline is not None:
            named += [self.headline.writes, self.headline.judges]
        named += [name for pair in self.evaluation.direct for name in pair]
        wanted += [("arm", name, self.arms) for name in named]
        for kind, name, table in wanted:
            if name is not None and name not in table:
                raise ValueError(f"unknown {kind} {name!r}: one of {sorted(table)}")
        return self

    @model_validator(mode="after")
    def _is_published(self) -> "StudyConfig":
        if self.published is not None and (
            self.published not in (known := published().figures)
        ):
            raise ValueError(
                f"published={self.published!r} is no figure of the paper: one of"
                f" {sorted(known)}"
            )
        return self

    @model_validator(mode="after")
    def _arms_are_whole(self) -> "StudyConfig":
        for name, arm in self.arms.items():
            if arm.base is None and len(self.bases) > 1:
                raise ValueError(
                    f"arm {name!r} names no base: one of {sorted(self.bases)}"
                )
            if arm.is_trained_on_pairs and self.dpo is None:
                raise ValueError("an arm with a critic needs the dpo recipe")
            if arm.pairs_of is None:
                continue
            source = self.arms[arm.pairs_of]
            if source.critic is None:
                raise ValueError(
                    f"pairs_of={arm.pairs_of!r} of arm {name!r} has no critic, so no"
                    " labels of its own"
                )
            if both := set(arm.sft_splits) & set(source.aif_splits):
                raise ValueError(
                    f"arm {name!r} is demonstrated split {min(both)!r}, which is judged"
                    f" for its pairs_of={arm.pairs_of!r}"
                )
        return self

    @model_validator(mode="after")
    def _says_what_differs(self) -> "StudyConfig":
        compared = {
            f"claim {key!r}": (c.arms, c.across) for key, c in self.claims.items()
        }
        if self.headline is not None:
            arms = (self.headline.writes, self.headline.judges)
            compared["the headline"] = (arms, self.headline.across)
        for what, (arms, across) in compared.items():
            require_said(what, {name: self.facets_of(name) for name in arms}, across)
        for pair in self.evaluation.direct:
            what = f"evaluation.direct [{', '.join(pair)}]"
            require_alike(what, [(name, self.facets_of(name)) for name in pair])
        return self

    @model_validator(mode="after")
    def _honest_choice(self) -> "StudyConfig":
        for arm in self.arms.values():
            if arm.sft_splits:
                require_disjoint(arm.sft_splits, self.sft.validation)
        held_out = self.sft.validation.splits if self.sft.validation else ()
        if (split := self.evaluation.split) in held_out:
            raise ValueError(
                f"sft.validation.splits has {split!r}, on which the arms are compared:"
                " a choice must not be made there"
            )
        return self

    @model_validator(mode="after")
    def _seeds_share_what_is_held_out(self) -> "StudyConfig":
        split = self.evaluation.split
        if len(self.seeds) > 1 and split in self.prompts.fractions:
            raise ValueError(
                f"every seed draws a split {split!r} of its own by prompts.fractions,"
                f" so seeds={list(self.seeds)} are not judged on the same prompts: give"
                " one seed, or evaluation.split=SPLIT of prompts that the source itself"
                " holds out"
            )
        return self


class QuickstartConfig(Config):
    """`quickstart`: the study on the embedded lab."""

    variant: LabVariant = "default"
    seeds: tuple[int, ...] = Field(default=(0, 1), min_length=1)
    workers: int = Field(default=2, ge=1)  # processes; two cores are enough


class ReportConfig(Config):
    """`report`: draws what studies found, one or several side by side."""

    studies: tuple[Path, ...] = Field(min_length=1)  # run folders, or results.json
