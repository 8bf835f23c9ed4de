"""What a run measured: one JSON line a step, and beside it the time it took."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from rlaif_jax.files import write_atomic
from rlaif_jax.typing import Json


class MetricsLog:
    """Appends a run's metrics to files; `with` closes them.

    `metrics.jsonl` is what the arithmetic gave, and equal in an unbroken run and in one
    that was killed and resumed. Times are kept apart, in `timing.jsonl`.

    Attributes:
      last: The metrics of the run's last step, in this session or an earlier one.
      seconds: Spent on all steps but each session's first, which compiles.
      steps: How many those are.
    """

    def __init__(
        self,
        folder: Path,
        *,
        step: int,
        batch_size: int,
        writes: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Cuts off what an earlier session wrote after `step`.

        Args:
          folder: The run's.
          step: That the run goes on from; 0 starts afresh.
          batch_size: Examples of one step.
          writes: Whether this process is the one that writes.
          clock: Seconds.
        """
        self.last: dict[str, float] = {}
        self._batch_size = batch_size
        self._clock = clock
        self._before: float | None = None
        self._files: tuple[IO[str], ...] = ()
        paths = (folder / "metrics.jsonl", folder / "timing.jsonl")
        kept = [lines_until(path, step) for path in paths]
        if kept[0]:
            line = json.loads(kept[0][-1])
            self.last = {k: v for k, v in line.items() if k not in ("step", "examples")}
        timed = [json.loads(line) for line in kept[1]]
        self.seconds = sum(line.get("seconds", 0.0) for line in timed)
        self.steps = sum("seconds" in line for line in timed)
        if writes:
            for path, lines in zip(paths, kept, strict=True):
                write_atomic(path, "".join(lines))
            self._files = tuple(path.open("a", encoding="utf-8") for path in paths)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            file.close()

    @property
    def examples_per_second(self) -> float:
        """Over the timed steps; 0 if there is none."""
        return self.steps * self._batch_size / self.seconds if self.steps else 0.0

    def report(self, step: int, metrics: dict[str, float]) -> None:
        """Appends one step; it outlives a kill, and after `sync` a power cut."""
        now = self._clock()
        self.last = metrics
        timing: Json = {"step": step}
        if self._before is not None:
            seconds = now - self._before
            self.seconds += seconds
            self.steps += 1
            timing["seconds"] = seconds
            timing["examples_per_second"] = self._batch_size / max(seconds, 1e-9)
        self._before = now
        line = {"step": step, "examples": step * self._batch_size, **metrics}
        for file, document in zip(self._files, (line, timing), strict=False):
            file.write(json.dumps(document, sort_keys=True) + "\n")
            file.flush()

    def untimed(self, act: Callable[..., None]) -> Callable[..., None]:
        """The same action, whose time counts for no step."""

        def acted(*args: object) -> None:
            act(*args)
            if self._before is not None:
                self._before = self._clock()

        return acted

    def sync(self) -> None:
        """Makes every line durable; called before a checkpoint that implies them."""
        for file in self._files:
            os.fsync(file.fileno())


def lines_until(path: Path, step: int) -> list[str]:
    """The whole lines of a file of steps up to one; a torn last line is none.

    Args:
      path: JSON lines, each with its `step`.
      step: Up to which; 0 gives none.
    """
    if step == 0 or not path.is_file():
        return []
    kept = []
    for line in path.read_text("utf-8").splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["step"] > step:
            break
        kept.append(line)
    return kept
