"""The steps of `sft` and `dpo` compile for a TPU slice, sharded over its chips."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("tpu_program.py")
ROOT = Path(__file__).parents[2]
TOKENS = 256  # of a row
# Mistral's shape with narrow layers: scanned, grouped queries, window, untied head
NARROW = {
    "num_layers": 6,
    "embed": 512,
    "ffw": 1024,
    "vocab_size": 2048,
    "kv_heads": 4,
}


@pytest.mark.parametrize(
    ("loss", "attention", "window"),
    [
        ("sft", "splash", 100),  # shorter than the row: longer, it is in no program
        pytest.param("sft", "xla", 100, marks=pytest.mark.slow),
        pytest.param("dpo", "splash", 4096, marks=pytest.mark.slow),
    ],
)
def test_the_step_compiles_for_sixteen_chips(loss, attention, window):
    report = compiled(loss, 16, attention=attention, sliding_window=window)
    assert report["chips"] == 16
    # every parameter and statistic is split over the chips, and donated to the next
    share = report["state_bytes"] / 16
    assert report["argument_bytes"] == pytest.approx(share, rel=0.05)
    assert report["aliased_bytes"] == pytest.approx(share, rel=0.05)
    assert report["temporary_bytes"] > 0
    assert report["host_bytes"] == 0
    assert report["collectives"]["all-gather"] > 0
    # forward, again in the backward, and the gradients of queries, of keys and values;
    # all of it twice where a pair shares its prompt
    calls = {("sft", "splash"): 1, ("sft", "xla"): 0, ("dpo", "splash"): 2}
    assert report["kernels"] == 4 * calls[loss, attention]


@pytest.mark.slow
def test_offload_moves_every_layers_input_to_the_host():
    report = compiled("sft", 64, attention="splash", remat="offload")
    layers, embed = NARROW["num_layers"], NARROW["embed"]
    bfloat16 = 2
    assert report["host_bytes"] == layers * embed * bfloat16 * TOKENS * 64 / 16


@pytest.mark.slow
def test_what_attention_read_is_kept_and_not_computed_again():
    report = compiled("sft", 16, attention="splash", remat="attention")
    assert report["kernels"] == 3


def compiled(loss, rows, **changes):
    """What the compiler says of a step with the narrow model."""
    arguments = ["v5e:4x4", "mistral-7b-v0.1", json.dumps(NARROW | changes), loss]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *arguments, str(rows), str(TOKENS)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=900,  # minutes where other work goes on
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(report))  # for pytest -rP
    return report
