"""What the configs of a study's arms do not have in common."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rlaif_jax.records import Record
from rlaif_jax.typing import Json

ABSENT = "\N{EN DASH}"
_PRESENT = "yes"


class Setting(Record):
    """One key of the arms' stages, and its value in each arm."""

    key: str  # such as sft.optimizer.learning_rate
    values: dict[str, str]  # arm to value; ABSENT where the arm has no such key

    def by_value(self) -> dict[str, list[str]]:
        """Every value with the arms that have it."""
        found: dict[str, list[str]] = {}
        for arm, value in self.values.items():
            found.setdefault(value, []).append(arm)
        return found


def differing_settings(
    documents: Mapping[str, Mapping[str, Json]],
) -> tuple[Setting, ...]:
    """The keys that two arms have different values of, in the order of the pipeline.

    Inputs that are other stages do not count: where they differ, so does something
    in the stage that made them. A step that some arms go without is one line, and
    its keys are compared among the arms that have it.

    Args:
      documents: Arm to step to the config of that step's stage.
    """
    steps = dict.fromkeys(step for arm in documents.values() for step in arm)
    return tuple(setting for step in steps for setting in _of_step(step, documents))


def _of_step(
    step: str, documents: Mapping[str, Mapping[str, Json]]
) -> Iterator[Setting]:
    having = {arm: dict(_leaves(d[step])) for arm, d in documents.items() if step in d}
    if len(having) < len(documents):
        values = {arm: _PRESENT if arm in having else ABSENT for arm in documents}
        yield Setting(key=step, values=values)
    for key in dict.fromkeys(key for leaves in having.values() for key in leaves):
        values = {arm: leaves.get(key, ABSENT) for arm, leaves in having.items()}
        if len(set(values.values())) > 1:
            told = {arm: values.get(arm, ABSENT) for arm in documents}
            yield Setting(key=f"{step}.{key}", values=told)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every key path of a document with its value in words, without other stages."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif not _is_stage(value):
        yield path, _told(value)


def _is_stage(value: Any) -> bool:
    """Whether it is named by a stage: an input, or a writer of a stage's making."""
    if isinstance(value, list):
        return any(map(_is_stage, value))
    return isinstance(value, str) and value.startswith("stage:")


def _told(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or ABSENT
    return value if isinstance(value, str) else json.dumps(value)
