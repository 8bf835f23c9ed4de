"""Plans of the usual models on the usual slices, by the TPU compiler: no TPU needed.

    python benchmarks/plan.py [NAME ...]

Every case is `rlaif-jax plan` in a process of its own: SFT, DPO with its reference, and
decoding. Each is written to benchmarks/results/plan.json when it is done, so that a run
may be stopped and cases be done one by one; in the end the tables of docs/plan.md are
printed from that file. Needs libtpu, and 1 to 4 minutes a case.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from rlaif_jax.models import abstract_params
from rlaif_jax.models.registry import preset

RESULTS = Path(__file__).parent / "results" / "plan.json"
PLAN = (sys.executable, "-m", "rlaif_jax", "plan")
ITEMS_A_CHIP, ROWS_A_CHIP = 4, 8  # of training, of decoding
MODEL = "model={path: runs/start, compute_dtype: bfloat16, remat: full}"
TRAINED = (MODEL, "optimizer={name: rmsprop, learning_rate: 5e-7, max_grad_norm: 10}")
VERBS = {
    "sft": ("prompts=p", "completions=c", *TRAINED),
    "dpo": ("preferences=p", *TRAINED),
    "sample": ("prompts=p", MODEL.replace("full", "none")),
}
PLACES = [  # preset, slice, chips
    ("mistral-7b-v0.1", "v5e:4x8", 32),
    ("mistral-7b-v0.1", "v6e:4x4", 16),
    ("mistral-7b-v0.1", "v5p:2x2x4", 16),
    ("llama-2-13b", "v5e:8x8", 64),
    ("llama-2-13b", "v5p:2x2x4", 16),
    ("mixtral-8x7b-v0.1", "v5p:4x4x4", 64),
    ("llama-2-70b", "v5p:4x4x8", 128),
    ("llama-2-70b", "v5e:4x8", 32),  # too small
]
# Meshes that are tried besides the config's. Decoding gathers no weights where a host's
# chips share them; gradients are scattered where width / fsdp is a multiple of 128.
DECODED = ("mesh={data: -1, fsdp: 1, tensor: 4}", "param_dtype=bfloat16")
TRAINED_TOO = {
    "mixtral-8x7b-v0.1": [("mesh.data=2",), ("mesh.expert=4",)],
    "llama-2-70b": [("mesh.data=2",)],
}


def main() -> None:
    """Plans what is named, or all; prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="parts of a case's name; all, if none")
    wanted = parser.parse_args().names
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for verb in VERBS:
        for case in cases(verb):
            model, place, chips, more = case
            name = " ".join([verb, model, place, *more])
            if all(part in name for part in wanted):
                size = chips * (ROWS_A_CHIP if verb == "sample" else ITEMS_A_CHIP)
                found[name] = planned(verb, model, place, size, more)
                print(name, found[name].get("failed", "done"), flush=True)
                RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    for verb in VERBS:
        print(table(verb, found))


def cases(verb: str) -> Iterator[tuple[str, str, int, tuple[str, ...]]]:
    """Preset, slice, chips and further keys of what is planned of a verb."""
    for place in PLACES:
        if verb == "sample":
            yield *place, DECODED
            continue
        yield *place, ()
        for more in TRAINED_TOO.get(place[0], []) if "v5p" in place[1] else ():
            yield *place, more


def planned(
    verb: str, model: str, place: str, size: int, more: tuple[str, ...]
) -> dict[str, Any]:
    """The result of `plan` with so many items a step, or why there is none."""
    arguments = (
        *(f"topology={place}", f"architecture={model}", f"batch_size={size}"),
        *(*VERBS[verb], *more),
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*PLAN, *arguments, "--json", "--out", folder],
            env=os.environ | {"XLA_FLAGS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        return {"failed": (done.stderr.splitlines() or ["killed"])[-1][:500]}
    return json.loads(done.stdout.splitlines()[-1]) | {"batch_size": size}


def table(verb: str, found: dict[str, Any]) -> str:
    """The cases of a verb as Markdown, a line a step."""
    lines = [
        f"| {verb} | items | GiB a chip | TFLOP | sent, GB | of the least | ms:"
        " operations, memory, links | bound by | MFU at most | compiled in |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        if not name.startswith(verb + " "):
            continue
        label = name.removeprefix(verb + " ")
        if "failed" in one:
            lines.append(f"| {label} | | {one['failed']} | | | | | | | |")
            continue
        for step in one["steps"]:
            shown = f"{label}, {step['name']}".replace(" ".join(DECODED), "tensor 4")
            lines.append(f"| {shown} | {row(label, one, step)} |")
    return "\n".join([*lines, ""])


def row(label: str, one: dict[str, Any], step: dict[str, Any]) -> str:
    """One step's cells."""
    limit = one["hbm_bytes_per_chip"] / 2**30
    cells = [
        str(one["batch_size"]),
        f"{step['bytes_per_chip'] / 2**30:.1f} of {limit:.0f}",
        f"{step['flops'] / 1e12:,.0f}",
    ]
    if not step["fits"]:
        return " | ".join([*cells, "does not fit", "", "", "", "", ""])
    sent = sum(step["collective_bytes"].values())
    least = least_sent(label, one["chips"], step["name"])
    times = (step["compute_s"], step["memory_s"], step["link_s"])
    return " | ".join(
        [
            *cells,
            f"{sent / 1e9:.1f}",
            f"{sent / least:.2f}" if least else "-",
            ", ".join(f"{1e3 * seconds:,.0f}" for seconds in times),
            step["bound_by"],
            f"{step['mfu_bound']:.0%}",
            f"{step['compile_s']:.0f} s, {step['host_peak_bytes'] / 2**30:.1f} GiB",
        ]
    )


def least_sent(label: str, chips: int, step: str) -> float | None:
    """Bytes that FSDP makes a chip send; None where other axes send, too.

    In bfloat16, of f chips (f - 1) / f of the weights: gathered forward and backward,
    and of the gradient scattered; and the share's sum along data.
    """
    if step == "decode" or "tensor" in label or "expert" in label:
        return None
    weights = 2 * sum(
        math.prod(leaf.shape)
        for leaf in jax.tree.leaves(abstract_params(preset(label.split()[0])))
    )
    data = int(label.partition("mesh.data=")[2] or 1)
    fsdp = chips // data
    passes = 3 if step == "train" else 1
    sums = 2 * (data - 1) / data * weights / fsdp if step == "train" else 0
    return passes * weights * (fsdp - 1) / fsdp + sums


if __name__ == "__main__":
    main()
