"""The steps of a model folder as files: finished, unfinished, damaged.

A finished step is a folder named by its number that holds its seal. What lacks the
seal was being written or removed when its process died.
"""

import shutil
from pathlib import Path

from rlaif_jax import log
from rlaif_jax.checkpoint import integrity
from rlaif_jax.errors import CorruptDataError, UsageError

_log = log.logger(__name__)

_TEMPORARY = ".orbax-checkpoint-tmp"


def finished_steps(checkpoints: Path) -> list[int]:
    """The finished steps, oldest first."""
    if not checkpoints.is_dir():
        return []
    numbered = [path for path in checkpoints.iterdir() if path.name.isdigit()]
    return sorted(int(path.name) for path in numbered if integrity.is_sealed(path))


def remove_unfinished(checkpoints: Path) -> None:
    """Deletes what saves left behind that were killed or failed."""
    for path in checkpoints.iterdir():
        unsealed = path.name.isdigit() and not integrity.is_sealed(path)
        if unsealed or _TEMPORARY in path.name:
            _log.info(f"removing {path}, which a save left unfinished")
            shutil.rmtree(path)


def prune(checkpoints: Path, keep: int, *, best: int | None = None) -> None:
    """Deletes all but the newest finished steps.

    Args:
      checkpoints: The folder of the steps.
      keep: How many of the newest stay.
      best: One that stays, however old.

    Raises:
      ValueError: If nothing is to be kept.
    """
    if keep < 1:
        raise ValueError(f"keep {keep} checkpoints? At least one must stay")
    for step in finished_steps(checkpoints)[:-keep]:
        if step == best:
            continue
        path = checkpoints / str(step)
        # the seal first: if this is killed half-way, the rest is unfinished
        (path / integrity.NAME).unlink()
        shutil.rmtree(path)


def intact_step(checkpoints: Path, step: int | None) -> int:
    """The wanted step, or the newest one that is as it was written.

    Damaged ones on the way are renamed `corrupt-<step>`, with a warning.

    Raises:
      UsageError: If there is no such step, or none at all.
      CorruptDataError: If the wanted step, or every step, is damaged.
    """
    present = finished_steps(checkpoints)
    if step is not None and step not in present:
        shown = ", ".join(map(str, present)) or "none"
        raise UsageError(f"no step {step} in {checkpoints}: there is {shown}")
    if not present:
        raise UsageError(f"no finished checkpoint in {checkpoints}: check the path")
    for candidate in reversed(present) if step is None else [step]:
        path = checkpoints / str(candidate)
        try:
            integrity.verify(path)
        except CorruptDataError as error:
            _log.warning(f"damaged checkpoint moved to {_set_aside(path)}: {error}")
        else:
            return candidate
    which = "every step" if step is None else f"step {step}"
    raise CorruptDataError(
        f"{which} in {checkpoints} is damaged and was renamed corrupt-*: restore a "
        "backup, or start again in another folder"
    )


def _set_aside(path: Path) -> Path:
    """Renames a damaged step, so that nothing takes it for a good one."""
    target = path.with_name(f"corrupt-{path.name}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"corrupt-{path.name}-{number}")
    return path.rename(target)
