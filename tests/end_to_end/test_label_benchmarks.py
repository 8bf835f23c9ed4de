"""The benchmarks of labeling at a small size: what they claim must hold there too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOSTILE = ["--comparisons=20", "--in-flight=8", "--latency-s=0.02", "--timeout-s=4"]


def document(script, *arguments):
    """What a benchmark prints at its end; it must end well."""
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}.py", *arguments, "--name="],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, found, text = f"\n{done.stdout}".partition("\n{\n")
    return json.loads(found + text)


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("label_kills", ["--kills=2", "--comparisons=40", "--in-flight=4"]),
        ("label_hostile", HOSTILE),
        ("label_hostile", [*HOSTILE, "--api=anthropic"]),
    ],
)
def test_what_a_benchmark_claims_holds(script, arguments):
    holds = document(script, *arguments)["holds"]
    assert holds and all(holds.values())


def test_the_race_counts_every_call_of_ours_and_of_bare_loops():
    arms = ["ours, openai", "ours, anthropic", "openai aiohttp", "anthropic default"]
    options = ["--latencies=0.01", "--in-flight=8", "--seconds=0.1", "--rounds=1"]
    found = document("label", "throughput", *options, "--arms", *arms)
    (race,) = found["races"]
    assert race["arms"].keys() == set(arms)
    for row in race["arms"].values():
        assert row["calls"] == 2 * race["comparisons"]
        assert row["most_in_flight"] <= 8


def test_memory_is_counted_at_every_step():
    rows = document("label", "memory", "--steps", "100", "300")["rows"]
    assert [row["comparisons"] for row in rows] == [100, 300]
    assert all(0 < row["index_bytes"] < row["rss_bytes"] for row in rows)
