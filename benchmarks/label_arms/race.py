"""What all arms of `benchmarks/label.py` read, and what each of them prints.

Imports nothing but the standard library, so that it works in every environment.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

WARM_SHARE, END_SHARE = 0.3, 0.9  # of the calls: between them the rate is steady


class Race(NamedTuple):
    """What one process asks.

    Attributes:
      folder: With `items.json` and what `label` reads.
      url: Of the server; OpenAI's format is below `/v1`.
      in_flight: Calls at a time.
      arm: Which of a script's arms, if it has several.
    """

    folder: Path
    url: str
    in_flight: int
    arm: str

    @property
    def items(self) -> list[dict[str, Any]]:
        """Comparisons: `instruction`, `output_1`, `output_2`, and both `questions`."""
        return json.loads((self.folder / "items.json").read_text())

    @property
    def questions(self) -> list[list[dict[str, str]]]:
        """The chats that ask about every comparison, in both orders."""
        return [chat for item in self.items for chat in item["questions"]]


def race_from_arguments() -> Race:
    """The race that the command line names: FOLDER URL IN_FLIGHT [ARM]."""
    folder, url, in_flight, *arm = sys.argv[1:]
    return Race(Path(folder), url, int(in_flight), *(arm or [""]))


class Meter:
    """Times every call, and the processor from the first call on."""

    def __init__(self) -> None:
        self._begun: list[float] = []
        self._ended: list[tuple[float, float]] = []  # when, and after how long
        self._cpu_s = 0.0

    def begin(self) -> float:
        """Notes that a call begins; what is returned goes to `end`."""
        if not self._begun:
            self._cpu_s = cpu_s()
        now = time.perf_counter()
        self._begun.append(now)
        return now

    def end(self, begun_at: float) -> None:
        """Notes that a call has ended."""
        now = time.perf_counter()
        self._ended.append((now, now - begun_at))

    def tell(self) -> None:
        """Prints the one line that the race waits for."""
        used_s, number = cpu_s() - self._cpu_s, len(self._ended)
        ends = sorted(when for when, _ in self._ended)
        latencies = sorted(seconds for _, seconds in self._ended)
        warm, last = int(WARM_SHARE * number), int(END_SHARE * number)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        line = {
            "calls": number,
            "seconds": round(ends[-1] - min(self._begun), 3),
            "calls_per_second": round(number / (ends[-1] - min(self._begun)), 1),
            "steady_calls_per_second": round(
                (last - warm) / (ends[last] - ends[warm]), 1
            ),
            "cpu_ms_a_call": round(1e3 * used_s / number, 3),
            "cpu_share": round(used_s / (ends[-1] - min(self._begun)), 2),
            "p50_ms": round(1e3 * latencies[number // 2], 1),
            "p99_ms": round(1e3 * latencies[int(0.99 * number)], 1),
            "peak_rss_mb": round(peak / 1024),
        }
        print(json.dumps(line), flush=True)


def cpu_s() -> float:
    """Processor time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
