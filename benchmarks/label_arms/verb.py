"""Runs `label` as a process of its own, and says what it took."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    """A process that has ended.

    Attributes:
      code: Its exit code.
      result: The JSON on its last line; empty without one.
      said: Its last line, of whatever kind.
      wall_s: From its start to its end.
      cpu_s: Of its processor time.
      peak_rss_mb: The most memory that it held.
    """

    code: int
    result: dict[str, Any]
    said: str
    wall_s: float
    cpu_s: float
    peak_rss_mb: float


def start(config: Path, out: Path) -> "subprocess.Popen[bytes]":
    """Starts `label`; what it says goes to a file beside its folder."""
    command = [sys.executable, "-m", "rlaif_jax", "label", str(config), "--json"]
    with out.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--out", str(out)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def run(config: Path, out: Path) -> Ended:
    """Runs `label` to its end, whichever that is."""
    begun_at = time.monotonic()
    process = start(config, out)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    last = out.with_suffix(".log").read_text().splitlines()[-1:] or [""]
    return Ended(
        code=process.returncode,
        result=json.loads(last[0]) if last[0].startswith("{") else {},
        said=last[0],
        wall_s=time.monotonic() - begun_at,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_rss_mb=used.ru_maxrss / 1024,
    )
