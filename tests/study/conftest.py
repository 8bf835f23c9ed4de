"""A study made up of random verdicts, with every part that a report can show."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from rlaif_jax.study.arms import BudgetConfig
from rlaif_jax.study.bill import Spend, Stage
from rlaif_jax.study.claims import ClaimConfig, Headline
from rlaif_jax.study.data_build import DataBuild, Overlap
from rlaif_jax.study.label_audit import LabelAudit, Rate
from rlaif_jax.study.results import (
    Arm,
    Curve,
    Judging,
    Sample,
    SeedResult,
    StudyResults,
)
from rlaif_jax.study.settings import ABSENT, Setting

ARMS = {  # win rate, accuracy, style, tokens
    "sft_weak": (0.477, 0.587, 0.32, 4.9),
    "rlaif_weak": (0.664, 0.661, 0.94, 7.5),
    "sft_strong": (0.791, 0.891, 0.99, 7.4),
    "rlaif_strong": (0.722, 0.749, 0.98, 7.4),
}
DESCRIPTIONS = {
    "sft_weak": "SFT on all prompts, completions by the weak teacher",
    "rlaif_weak": "SFT on 10 % by the weak teacher, then DPO on AI feedback",
    "sft_strong": "SFT on all prompts, completions by the strong teacher",
    "rlaif_strong": "SFT on 10 % by the strong teacher, then DPO on AI feedback",
}
FAMILIES = ("add", "copy", "reverse", "sort", "upper")


def seed_result(arm: str, seed: int, prompts: int) -> SeedResult:
    rate, accuracy, style, tokens = ARMS[arm]
    hard = np.random.default_rng(0).normal(0, 0.15, prompts)
    random = np.random.default_rng([seed, *arm.encode()])
    chance = np.clip(rate + hard + random.normal(0, 0.02), 0, 1)
    won = (random.random(prompts) < chance).astype(float)
    won[random.random(prompts) < 0.05] = 0.5
    return SeedResult(
        seed=seed,
        outcomes={f"prompt-{i:03}": float(value) for i, value in enumerate(won)},
        mean_completion_tokens=tokens + 0.1 * seed,
        length_rate=0.004,
        measures={
            "true_reward": round(0.4 + 0.6 * accuracy, 3),
            "accuracy": accuracy,
            "style_rate": style,
        },
        family_accuracy={
            family: float(np.clip(accuracy + random.normal(0, 0.15), 0, 1))
            for family in FAMILIES
        },
    )


def stages(arms: list[str]) -> tuple[Stage, ...]:
    found = []
    for arm in arms:
        strong = arm.endswith("strong")
        if arm.startswith("sft"):
            cost = 0.2812 if strong else 0.0281
            spend = Spend(
                calls=6000,
                prompt_tokens=84_112,
                completion_tokens=44_310,
                cost_usd=cost,
            )
            shared = tuple(name for name in arms if name.endswith(arm[4:]))
            found.append(
                Stage(
                    stage_id=f"complete-{arm}",
                    kind="complete",
                    title=f"{arm[4:]} writes",
                    folder=f"runs/quickstart/stages/complete-{arm}",
                    arms=shared,
                    spend={"teacher": spend},
                )
            )
        else:
            spend = Spend(
                calls=10_800,
                prompt_tokens=642_500,
                completion_tokens=10_800,
                cost_usd=0.3941,
            )
            found.append(
                Stage(
                    stage_id=f"label-{arm}",
                    kind="label",
                    arms=(arm,),
                    spend={"critic": spend},
                    device_s={"sampling": 8.2},
                )
            )
        judged = Spend(
            calls=2000, prompt_tokens=119_000, completion_tokens=2000, cost_usd=0.0731
        )
        found.append(
            Stage(
                stage_id=f"evaluate-{arm}",
                kind="evaluate",
                arms=(arm,),
                spend={"evaluator": judged},
                device_s={"sampling": 3.1, "training": 21.4},
                flops=1.25e15,
            )
        )
    return tuple(found)


def curves(arms: list[str], seeds: range) -> tuple[Curve, ...]:
    steps = tuple(range(0, 201, 10))
    rewards = tuple(
        Curve(
            arm=arm,
            seed=seed,
            stage="dpo",
            measure=f"rewards/{measure}",
            steps=steps,
            values=tuple(height * (1 - np.exp(-s / 60)) for s in steps),
        )
        for arm in arms
        for seed in seeds
        for measure, height in (("margins", 1.5), ("chosen", -0.5))
        if arm.startswith("rlaif")
    )
    return rewards + tuple(
        Curve(
            arm=arm,
            seed=seed,
            stage="dpo" if arm.startswith("rlaif") else "sft",
            measure="loss",
            steps=steps,
            values=tuple(0.3 + np.exp(-s / 60) * (1 + 0.1 * seed) for s in steps),
        )
        for arm in arms
        for seed in seeds
    )


AUDITS = tuple(
    LabelAudit(
        arms=(arm,),
        critics=("lab-critic-strong",),
        comparisons=5400,
        verdicts={"first": 2800, "second": 1800, "tie": 790, "failed": 10},
        identical=731,
        rates={
            "order_consistency": Rate(value=0.913, low=0.902, high=0.923, n=4659),
            "p_longer": Rate(value=0.688, low=0.672, high=0.704, n=3396),
        },
        agreement={other: Rate(value=0.861, low=0.85, high=0.87, n=2700)},
    )
    for arm, other in (
        ("rlaif_weak", "rlaif_strong"),
        ("rlaif_strong", "rlaif_weak"),
    )
)
BUILDS = (
    DataBuild(
        step="prompts",
        arms=tuple(ARMS),
        stages=2,
        read=13_600,
        kept=7600,
        dropped={"duplicate": 17, "over_the_limit": 5983},
        splits={"aif": 5400, "sft": 600, "test": 1000, "validation": 600},
    ),
    *(
        DataBuild(
            step="sft", arms=(arm,), stages=2, read=600, kept=599, cut={"prompts": 4}
        )
        for arm in ("rlaif_weak", "rlaif_strong")
    ),
)
SETTINGS = (
    Setting(
        key="sft.splits",
        values={arm: "sft" if arm.startswith("rlaif") else "sft, aif" for arm in ARMS},
    ),
    Setting(
        key="dpo",
        values={arm: "yes" if arm.startswith("rlaif") else ABSENT for arm in ARMS},
    ),
)


def _labeling(name):
    """A module that the tests of labeling have."""
    path = Path(__file__).parents[1] / "labeling" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"labeling_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def hostile():
    return _labeling("hostile")


@pytest.fixture(scope="session")
def browser():
    module = _labeling("browser")
    if module.CHROMIUM is None:
        pytest.skip("there is no chromium on PATH")
    return module


@pytest.fixture(scope="session")
def make_study():
    return made_up_study


# the paper's three (arXiv:2402.12366)
CLAIMS = {
    "a": ClaimConfig(
        text="With a critic stronger than the teacher, AI feedback beats "
        "fine-tuning on the teacher alone.",
        greater="rlaif_weak",
        lesser="sft_weak",
    ),
    "b": ClaimConfig(
        text="Fine-tuning on the strong model's completions is at least as "
        "good as AI feedback from it on a weak teacher's.",
        greater="sft_strong",
        lesser="rlaif_weak",
        relation=">=",
    ),
    "c": ClaimConfig(
        text="AI feedback gains less over fine-tuning where teacher and "
        "critic are the same model.",
        greater="rlaif_weak",
        lesser="sft_weak",
        minus_greater="rlaif_strong",
        minus_lesser="sft_strong",
    ),
}


def made_up_study(*, seeds: int = 2, prompts: int = 60, **fields) -> StudyResults:
    arms = list(ARMS)
    return StudyResults(
        arms={
            name: Arm(
                description=DESCRIPTIONS[name],
                prompts=6000 if name.startswith("sft") else 5700,
                seeds=tuple(seed_result(name, s, prompts) for s in range(seeds)),
            )
            for name in arms
        },
        **{
            "baseline": "the weak teacher",
            "evaluator": "lab-critic-95",
            "budget": BudgetConfig(),
            "headline": Headline(writes="sft_strong", judges="rlaif_weak"),
            "claims": CLAIMS,
            "stages": stages(arms),
            "curves": curves(arms, range(seeds)),
            "samples": (
                Sample(
                    prompt="Write the word banana backwards.",
                    prompt_id="prompt-000",
                    completions={
                        "sft_weak": "ananab",
                        "rlaif_weak": "The answer is ananab.",
                        "sft_strong": "It is ananab.",
                        "rlaif_strong": "It is ananab.",
                        "the weak teacher": "banana",
                    },
                ),
                Sample(
                    prompt="Add 12 and 5.",
                    completions={
                        "sft_weak": "18",
                        "rlaif_weak": "The answer is 16.",
                        "sft_strong": "It is 17.",
                        "rlaif_strong": "It is 17.",
                        "the weak teacher": "17",
                    },
                ),
            ),
            "audits": AUDITS,
            "builds": BUILDS,
            "overlaps": (
                Overlap(first="aif", second="sft", prompts=0, of=600),
                Overlap(first="aif", second="test", prompts=3, of=1000),
            ),
            "settings": SETTINGS,
            "judging": Judging(baseline="b0", evaluator="e0"),
            "seconds": 372.4,
            "command": "rlaif-jax quickstart --out runs/quickstart",
            "versions": {"rlaif_jax": "0.1.0", "jax": "0.10.2", "python": "3.11.7"},
            "notes": ("Prices are list prices of the embedded lab, not money.",),
        }
        | fields,
    )
