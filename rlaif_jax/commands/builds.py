"""What the stages of a study read, left out and cut, from what they reported."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rlaif_jax.commands.inputs import is_usable
from rlaif_jax.commands.stages import Stages
from rlaif_jax.commands.sweep import best_run
from rlaif_jax.data.held_out import prompt_key
from rlaif_jax.files import read_records
from rlaif_jax.inspection.runs import read_metrics
from rlaif_jax.records import Completion, Prompt, content_hash
from rlaif_jax.study.data_build import DataBuild, Overlap
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.stage import Stage
from rlaif_jax.typing import Json

_WRITTEN = ("stop", "length")  # finish reasons of completions that are used


def data_builds(arms: Sequence[ArmStages], stages: Stages) -> tuple[DataBuild, ...]:
    """One line for each step and set of stages, in the order of the pipeline."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    runs: dict[tuple[str, tuple[str, ...]], list[Stage]] = {}
    for step, by_arm in _steps(arms).items():
        for arm, of_arm in by_arm.items():
            key = (step, tuple(stage.digest for stage in of_arm))
            found.setdefault(key, []).append(arm)
            runs[key] = of_arm
    built = (
        _build(key[0], tuple(names), runs[key], stages) for key, names in found.items()
    )
    return tuple(build for build in built if build is not None)


def split_overlaps(arms: Sequence[ArmStages], stages: Stages) -> tuple[Overlap, ...]:
    """How many prompts of one split are in another, told by their text.

    Summed over the draws of all seeds; arms that have at most so many prompts of a
    split have part of one draw, which counts once.
    """
    draws: dict[str, dict[str, set[str]]] = {}
    shared, sizes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for stage in {arm.prompts.digest: arm.prompts for arm in arms}.values():
        texts = draws.setdefault(_draw(stage), {})
        for prompt in read_records(stages.folder(stage) / "prompts.jsonl", Prompt):
            texts.setdefault(prompt.split, set()).add(prompt_key(prompt.messages))
    for texts in draws.values():
        for pair in itertools.combinations(sorted(texts), 2):
            shared[pair] += len(texts[pair[0]] & texts[pair[1]])
            sizes[pair] += len(texts[pair[1]])
    return tuple(
        Overlap(first=a, second=b, prompts=shared[a, b], of=sizes[a, b])
        for a, b in sizes
    )


def _draw(prompts: Stage) -> str:
    """Which draw of splits a stage's prompts are of."""
    document = {k: v for k, v in prompts.document.items() if k != "at_most"}
    return content_hash(document)


def arm_steps(arm: ArmStages) -> dict[str, Stage]:
    """The stages of one arm and seed by the names of their steps, upstream first."""
    named = {field.name: getattr(arm, field.name) for field in dataclasses.fields(arm)}
    return {name: one for name, one in named.items() if isinstance(one, Stage)}


def _steps(arms: Sequence[ArmStages]) -> dict[str, dict[str, list[Stage]]]:
    """Step to arm to its stages, one a seed, without repeats."""
    found: dict[str, dict[str, list[Stage]]] = {
        field.name: {} for field in dataclasses.fields(ArmStages)
    }
    for arm in arms:
        for step, stage in arm_steps(arm).items():
            runs = found[step].setdefault(arm.arm, [])
            if stage.digest not in {one.digest for one in runs}:
                runs.append(stage)
    return found


def _build(
    step: str, arms: tuple[str, ...], runs: Sequence[Stage], stages: Stages
) -> DataBuild:
    """The sum of what some stages report."""
    told = [
        _TELLERS[one.verb](stages.folder(one), stages.result(one) or {}) for one in runs
    ]
    return DataBuild(
        step=step,
        arms=arms,
        stages=len(runs),
        read=sum(one["read"] for one in told),
        kept=sum(one["kept"] for one in told),
        **{
            name: _summed(one.get(name, {}) for one in told)
            for name in ("dropped", "cut", "splits")
        },
    )


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum by name, without what never happened."""
    total = Counter[str]()
    for one in counts:
        total.update(one)
    return {name: count for name, count in total.items() if count}


def _prompts(folder: Path, told: Json) -> Json:
    del folder
    skipped = {"skipped": told.get("skipped", 0)}
    dropped = told["dropped"] | skipped | told.get("over", {})
    # what stages of older versions do not tell apart
    rest = told["read"] - told["prompts"] - sum(dropped.values())
    return {
        "read": told["read"],
        "kept": told["prompts"],
        "dropped": dropped | {"over_a_limit": rest},
        "splits": told["splits"],
    }


def _written(folder: Path, told: Json) -> Json:
    ends = _endings(folder / "completions.jsonl")
    return {
        "read": told["completions"],
        "kept": sum(ends.get(reason, 0) for reason in _WRITTEN),
        "dropped": {name: n for name, n in ends.items() if name not in _WRITTEN},
        "cut": {
            "prompts": told.get("prompts_truncated", 0),  # by `sample` alone
            "at the token limit": ends.get("length", 0),
        },
    }


def _endings(path: Path) -> Counter[str]:
    """How often texts ended in which way; a blank one is that, however it ended."""
    return Counter(
        one.finish_reason
        if is_usable(one) or one.finish_reason not in _WRITTEN
        else "blank"
        for one in read_records(path, Completion)
    )


def _demonstrated(folder: Path, told: Json) -> Json:
    del folder
    data = told["data"]
    dropped = {name: data.get(name, 0) for name in ("unusable", "prompts_held_out")}
    return {
        "read": data["examples"] + sum(dropped.values()),
        "kept": data["examples"],
        "dropped": dropped,
        "cut": {
            "prompts": data.get("prompts_truncated", 0),
            "completions": data.get("completions_truncated", 0),
            "without an end": data.get("completions_without_end", 0),
        },
    }


def _labeled(folder: Path, told: Json) -> Json:
    del folder
    labels = told["labels"]
    identical = told["states"].get("skipped_identical", 0)
    return {
        "read": told["comparisons"] + told["unusable"],
        "kept": told["pairs"],
        "dropped": {
            "unusable": told["unusable"],
            "identical": identical,
            "tie": labels["tie"] - identical,
            "failed": labels["failed"],
        },
    }


def _preferred(folder: Path, told: Json) -> Json:
    """Pairs, as often as they were trained on."""
    del told
    rows = read_metrics(best_run(folder))
    pairs = int(rows[-1]["examples"]) if rows else 0  # counted from the first step
    cut = {
        side: round(sum(row[f"truncated/{side}"] for row in rows) / len(rows) * count)
        for side, count in (("prompts", pairs), ("completions", 2 * pairs))
        if rows
    }
    return {"read": pairs, "kept": pairs, "cut": cut}


def _judged(folder: Path, told: Json) -> Json:
    del folder
    return {
        "read": told["n_total"] + told["n_dropped"],
        "kept": told["n_total"],
        "dropped": {"without a verdict": told["n_dropped"]},
    }


_TELLERS: dict[str, Callable[[Path, Json], Json]] = {
    "prompts": _prompts,
    "complete": _written,
    "sample": _written,
    "sft": _demonstrated,
    "label": _labeled,
    "dpo": _preferred,
    "evaluate": _judged,
}
