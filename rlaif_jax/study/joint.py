"""Several studies as one: which of their arms may be compared, and how they stand."""

from collections.abc import Mapping
from typing import NamedTuple

from rlaif_jax.evaluation.paired import Estimate, pooled_difference
from rlaif_jax.study.results import Arm, StudyResults
from rlaif_jax.study.wording import plural


class JointArm(NamedTuple):
    """One arm among those of several studies.

    Attributes:
      studies: In which it is: several, if they share it.
      arm: Its name there.
      rate: Its win rate.
      behind: The best arm's win rate less its own, paired; None of the best arm, and
        where the seeds differ.
    """

    studies: tuple[str, ...]
    arm: str
    rate: Estimate
    behind: Estimate | None


class JointGroup(NamedTuple):
    """Studies with the same prompts, baseline and evaluator.

    Attributes:
      studies: Their names.
      is_by_name: Whether baseline or evaluator of one are known by name alone.
      merged: All their arms as those of one study, in the order of the studies.
      arms: The same arms, the best first.
    """

    studies: tuple[str, ...]
    is_by_name: bool
    merged: StudyResults
    arms: tuple[JointArm, ...]


def joint_groups(studies: Mapping[str, StudyResults]) -> list[JointGroup]:
    """The studies, put together where they can be compared."""
    groups: list[dict[str, StudyResults]] = []
    for name, results in studies.items():
        for group in groups:
            if not obstacles(next(iter(group.values())), results):
                group[name] = results
                break
        else:
            groups.append({name: results})
    return [_joined(group) for group in groups]


def obstacles(a: StudyResults, b: StudyResults) -> list[str]:
    """Why win rates of `b` say nothing beside those of `a`; empty if they do."""
    found = []
    ours, theirs = _prompts(a), _prompts(b)
    if ours != theirs:
        shared = len(ours & theirs)
        found.append(
            f"other prompts ({shared:,} of {plural(len(theirs), 'prompt')} in common)"
        )
    if a.baseline != b.baseline:
        found.append(f"another baseline ({b.baseline} instead of {a.baseline})")
    if a.evaluator != b.evaluator:
        found.append(f"another evaluator ({b.evaluator} instead of {a.evaluator})")
    if a.judging is None or b.judging is None:
        return found
    if a.baseline == b.baseline and a.judging.baseline != b.judging.baseline:
        found.append(f"another text of the baseline {b.baseline}")
    if a.evaluator == b.evaluator and a.judging.evaluator != b.judging.evaluator:
        found.append(f"other settings of the evaluator {b.evaluator}")
    return found


def _prompts(results: StudyResults) -> set[str]:
    return set(next(iter(results.arms.values())).seeds[0].outcomes)


def _joined(studies: Mapping[str, StudyResults]) -> JointGroup:
    """Studies that can be compared, as one; an arm that they share is in it once."""
    owners: list[tuple[list[str], str, Arm]] = []
    for study, results in studies.items():
        for name, arm in results.arms.items():
            same = [o for o in owners if o[1] == name and o[2].seeds == arm.seeds]
            if same:
                same[0][0].append(study)
            else:
                owners.append(([study], name, arm))
    first = next(iter(studies.values()))
    merged = StudyResults(
        title=f"{len(studies)} studies",
        arms={_unique(named, arm): one for named, arm, one in owners},
        baseline=first.baseline,
        evaluator=first.evaluator,
        seconds=sum((results.seconds for results in studies.values()), 0.0),
        command="",
    )
    return JointGroup(
        studies=tuple(studies),
        is_by_name=any(results.judging is None for results in studies.values()),
        merged=merged,
        arms=_ranked(merged, [(tuple(named), arm) for named, arm, _ in owners]),
    )


def _unique(studies: list[str], arm: str) -> str:
    """A name that no other study's arm has."""
    return f"{', '.join(studies)}: {arm}"


def _ranked(
    merged: StudyResults, named: list[tuple[tuple[str, ...], str]]
) -> tuple[JointArm, ...]:
    """The arms by their win rates, each beside the best."""
    rates = merged.win_rates()
    best = max(rates, key=lambda name: rates[name].value)
    top = merged.arms[best].outcomes
    found = []
    for (studies, arm), (name, rate) in zip(named, rates.items(), strict=True):
        own = merged.arms[name].outcomes
        is_paired = name != best and own.keys() == top.keys()
        behind = pooled_difference(top, own) if is_paired else None
        found.append(JointArm(studies, arm, rate, behind))
    return tuple(sorted(found, key=lambda one: -one.rate.value))
