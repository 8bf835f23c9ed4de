"""The steps of `sft` and `dpo` compile for a TPU slice, sharded over its chips."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("tpu_program.py")
ROOT = Path(__file__).parents[2]
# Mistral's shape with narrow layers: scanned, grouped queries, window, untied head
NARROW = {
    "num_layers": 6,
    "embed": 512,
    "ffw": 1024,
    "vocab_size": 2048,
    "kv_heads": 4,
}


@pytest.mark.parametrize(
    ("loss", "attention"),
    [
        ("sft", "splash"),
        pytest.param("sft", "xla", marks=pytest.mark.slow),
        pytest.param("dpo", "splash", marks=pytest.mark.slow),
    ],
)
def test_the_step_compiles_for_sixteen_chips(loss, attention):
    rows, tokens = "16", "256"
    # shorter than the row: a window that hides nothing is no part of the program
    changes = json.dumps(NARROW | {"attention": attention, "sliding_window": 100})
    arguments = ["v5e:4x4", "mistral-7b-v0.1", changes, loss, rows, tokens]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(report))  # for pytest -rP
    assert report["chips"] == 16
    # every parameter and statistic is split over the chips, and donated to the next
    share = report["state_bytes"] / 16
    assert report["argument_bytes"] == pytest.approx(share, rel=0.05)
    assert report["aliased_bytes"] == pytest.approx(share, rel=0.05)
    assert report["temporary_bytes"] > 0
    assert report["collectives"]["all-gather"] > 0
    # forward, again in the backward, and the gradients of queries, of keys and values
    assert report["kernels"] == (4 if attention == "splash" else 0)
