"""What all arms of `benchmarks/train.py` read, and what each of them prints.

Imports nothing but the standard library, so that it works in every environment.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

BETA, RATE, CLIP = 0.1, 1e-5, 10.0
MULTIPLE = 64  # of the tokens of a padded row

Item = list[list[int]]  # a prompt and its completions, as ids


class Race(NamedTuple):
    """What one process trains on.

    Attributes:
      folder: With `model/`, a Hugging Face folder, and the items.
      task: dpo or sft.
      shape: full or real.
      part: Of the epoch: each round trains on another, from the same weights.
      arm: Which of a script's arms, if it has several.
    """

    folder: Path
    task: str
    shape: str
    part: int
    arm: str

    @property
    def batches(self) -> list[list[Item]]:
        """The items of each batch."""
        return json.loads(items_file(*self[:4]).read_text())


def race_from_arguments() -> Race:
    """The race that the command line names: FOLDER TASK SHAPE PART [ARM]."""
    folder, task, shape, part, *arm = sys.argv[1:]
    return Race(Path(folder), task, shape, int(part), *(arm or [""]))


def items_file(folder: Path, task: str, shape: str, part: int) -> Path:
    """Where the items of a race are."""
    return folder / f"{task}-{shape}-{part}.json"


def warm_up(batches: list[list[Item]], shape_of: Any) -> list[list[Item]]:
    """The first batch of each shape: what must be compiled before the clock runs."""
    return list({shape_of(batch): batch for batch in reversed(batches)}.values())


def padded_length(num_tokens: int) -> int:
    """A row length that holds so many tokens."""
    return -(-num_tokens // MULTIPLE) * MULTIPLE


class Clock:
    """Names how long things took.

    Attributes:
      seconds: By name.
    """

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Notes the time since the last lap."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now


def tell(race: Race, clock: Clock, losses: list[Any], **more: Any) -> None:
    """Prints the one line that the race waits for; the lap `train` is its time."""
    num_items = sum(map(len, race.batches))
    line = {
        "items_per_second": num_items / clock.seconds["train"],
        "seconds": clock.seconds,
        "losses": [float(loss) for loss in losses],
    }
    print(json.dumps(line | more), flush=True)
