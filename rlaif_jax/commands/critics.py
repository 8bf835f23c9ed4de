"""What the labels of a study say about the critics that gave them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlaif_jax.commands.audit import run_labels
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config import LabelConfig
from rlaif_jax.config_file import validate
from rlaif_jax.labeling.agreement import agreement
from rlaif_jax.labeling.audit import Audit, audit
from rlaif_jax.labeling.intervals import Measure
from rlaif_jax.labeling.judged import Judged
from rlaif_jax.records import Verdict
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.label_audit import LabelAudit, Rate
from rlaif_jax.study.stage import Stage, resolve

_RATES = ("order_consistency", "flips_to_first", "p_first_shown", "p_longer")


class _Judgment(NamedTuple):
    """What one comparison was called, and whose prompt it is."""

    verdict: Verdict
    prompt_id: str


class _Group(NamedTuple):
    """The labels of the same stages, one a seed, and the arms trained on them."""

    arms: tuple[str, ...]
    found: Audit
    verdicts: Mapping[str, _Judgment]  # by comparison


def label_audits(arms: Sequence[ArmStages], stages: Stages) -> tuple[LabelAudit, ...]:
    """One audit for each set of labels, over seeds, in the order of the arms.

    Raises:
      CommandError: If a stage's files are missing or damaged.
    """
    folders = {s.digest: stages.folder(s) for arm in arms for s in arm.all()}
    groups = [_group(names, runs, folders) for names, runs in _by_stages(arms)]
    return tuple(_label_audit(group, groups) for group in groups)


def _by_stages(
    arms: Sequence[ArmStages],
) -> list[tuple[tuple[str, ...], list[Stage]]]:
    """The arms that share all their label stages, with these."""
    of_arm: dict[str, list[Stage]] = {}
    for arm in arms:
        if arm.label is not None:
            of_arm.setdefault(arm.arm, []).append(arm.label)
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, labels in of_arm.items():
        groups.setdefault(tuple(stage.digest for stage in labels), []).append(name)
    return [(tuple(names), of_arm[names[0]]) for names in groups.values()]


def _group(
    names: tuple[str, ...], runs: Sequence[Stage], folders: Mapping[str, Path]
) -> _Group:
    """Audits some stages, wherever the study is now; keeps no text of them."""
    judged: list[Judged] = []
    comparisons = 0
    for stage in runs:
        config = validate(LabelConfig, resolve(stage.document, dict(folders)))
        read = run_labels(folders[stage.digest], config)
        judged += read.judged
        comparisons += read.comparisons
    verdicts = {
        one.label.pair_id: _Judgment(one.label.verdict, one.comparison.prompt_id)
        for one in judged
    }
    return _Group(names, audit(judged, comparisons=comparisons), verdicts)


def _label_audit(group: _Group, groups: Sequence[_Group]) -> LabelAudit:
    found = group.found
    return LabelAudit(
        arms=group.arms,
        critics=found.critics,
        comparisons=found.labels,
        verdicts={name: counted.n for name, counted in found.verdicts.items()},
        identical=found.states["skipped_identical"].n,
        rates={
            name: _rate(found.measures[name])
            for name in _RATES
            if name in found.measures
        },
        agreement={
            ", ".join(other.arms): _rate(shared)
            for other in groups
            if other is not group
            and (shared := _agreement(group.verdicts, other.verdicts)) is not None
        },
    )


def _agreement(
    one: Mapping[str, _Judgment], other: Mapping[str, _Judgment]
) -> Measure | None:
    """How often two critics said the same of the comparisons that both judged."""
    shared = [pair_id for pair_id in one if pair_id in other]
    prompts: dict[str, int] = {}
    numbers = [prompts.setdefault(one[key].prompt_id, len(prompts)) for key in shared]
    return agreement(
        [one[key].verdict for key in shared],
        [other[key].verdict for key in shared],
        np.array(numbers, np.int64),
    ).share


def _rate(measure: Measure) -> Rate:
    return Rate(value=measure.value, low=measure.low, high=measure.high, n=measure.n)
