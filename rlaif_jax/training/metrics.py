"""What a run measured: one JSON line a step, and beside it the time it took."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from rlaif_jax.files import write_atomic
from rlaif_jax.training.facts import Work
from rlaif_jax.typing import Json


class MetricsLog:
    """Appends a run's metrics to files; `with` closes them.

    `metrics.jsonl` is what the arithmetic gave, and equal in an unbroken run and in one
    that was killed and resumed. Times are kept apart, in `timing.jsonl`.

    Attributes:
      last: The metrics of the run's last step whose loss is finite, in this session or
        an earlier one.
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
        peak_flops: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Cuts off what an earlier session wrote after `step`.

        Args:
          folder: The run's.
          step: That the run goes on from; 0 starts afresh.
          batch_size: Examples of one step.
          writes: Whether this process is the one that writes.
          peak_flops: FLOP/s of all devices; None if not known.
          clock: Seconds.
        """
        self.last: dict[str, float] = {}
        self._batch_size = batch_size
        self._peak_flops = peak_flops
        self._clock = clock
        self._before: float | None = None
        self._files: tuple[IO[str], ...] = ()
        paths = (folder / "metrics.jsonl", folder / "timing.jsonl")
        kept = [lines_until(path, step) for path in paths]
        for text in kept[0]:
            line = json.loads(text)
            if line["loss"] is not None:
                self.last = {k: line[k] for k in line.keys() - {"step", "examples"}}
        lines = [json.loads(line) for line in kept[1]]
        timed = [line for line in lines if "seconds" in line]
        self.seconds = sum(line["seconds"] for line in timed)
        self.steps = len(timed)
        self._tokens = sum(line.get("tokens", 0) for line in timed)
        self._flops = sum(line.get("flops", 0) for line in timed)
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

    @property
    def tokens_per_second(self) -> float:
        """Useful ones, over the timed steps; 0 if there is none."""
        return self._tokens / self.seconds if self.steps else 0.0

    @property
    def mfu(self) -> float | None:
        """Over the timed steps; None if the devices' peak is not known."""
        if not self.steps or self._peak_flops is None:
            return None
        return self._flops / (self.seconds * self._peak_flops)

    def report(
        self, step: int, metrics: dict[str, float], work: Work | None = None
    ) -> dict[str, float]:
        """Appends one step; it outlives a kill, and after `sync` a power cut.

        Args:
          step: Its number.
          metrics: What the arithmetic gave.
          work: What computing the step took, if it is known.

        Returns:
          How fast it was, as written to `timing.jsonl`; without seconds for a
          session's first step.
        """
        now = self._clock()
        if math.isfinite(metrics["loss"]):
            self.last = metrics
        seconds = None if self._before is None else now - self._before
        self._before = now
        speed = self._speed(seconds, work)
        # JSON has no NaN
        known = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
        line = {"step": step, "examples": step * self._batch_size, **known}
        timing: Json = {"step": step, **speed}
        for file, document in zip(self._files, (line, timing), strict=False):
            file.write(json.dumps(document, sort_keys=True) + "\n")
            file.flush()
        return speed

    def _speed(self, seconds: float | None, work: Work | None) -> dict[str, float]:
        """What is known of a step's pace; adds it up, if it was timed."""
        speed: dict[str, float] = {}
        if work is not None:
            speed |= {
                "tokens": float(work.tokens),
                "flops": float(work.flops),
                "padding_fraction": work.padding_fraction,
            }
        if seconds is None:
            return speed
        self.seconds += seconds
        self.steps += 1
        pace = 1.0 / max(seconds, 1e-9)
        speed |= {"seconds": seconds, "examples_per_second": self._batch_size * pace}
        if work is not None:
            self._tokens += work.tokens
            self._flops += work.flops
            speed |= {
                "tokens_per_second": work.tokens * pace,
                "padded_tokens_per_second": work.places * pace,
            }
            if self._peak_flops is not None:
                speed["mfu"] = work.flops * pace / self._peak_flops
        return speed

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
