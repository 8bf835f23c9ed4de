"""The memory model of `plan` beside what compilers laid out.

    python benchmarks/plan_memory.py [PART ...]

Small runs of SFT and DPO are compiled for simulated CPU devices, 2 to 10 s each, and
what XLA allots is set against the model's figures. Results go to
benchmarks/results/plan_memory.json one by one; a part of a case's name selects cases.
The TPU compiler's figures are those of benchmarks/results/plan.json, for which nothing
is compiled here: their slices need libtpu. In the end the tables of docs/plan.md are
printed.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("NPROC", "16")  # fewer threads than devices can deadlock

import jax

from rlaif_jax.commands.workload import Assumed, Workload
from rlaif_jax.config_file import validate
from rlaif_jax.config_training import DpoConfig, SftConfig
from rlaif_jax.models.gpt import PRESETS as GPT
from rlaif_jax.models.llama import LLAMA_2_7B
from rlaif_jax.models.mistral import MIXTRAL_8X7B
from rlaif_jax.models.registry import PRESETS
from rlaif_jax.planning.memory_model import MemoryModel
from rlaif_jax.planning.topology import tpu_topology
from rlaif_jax.sharding.mesh import build_mesh

FOLDER = Path(__file__).parent / "results"
RESULTS = FOLDER / "plan_memory.json"
SMALL: dict[str, Any] = {"num_layers": 6, "max_positions": 4096}
MODELS = {
    "dense": LLAMA_2_7B.replace(
        vocab_size=512, embed=128, kv_heads=4, head_dim=32, ffw=352, **SMALL
    ),
    "wide": LLAMA_2_7B.replace(
        vocab_size=2048,
        embed=512,
        kv_heads=4,
        q_groups=2,
        head_dim=64,
        ffw=1408,
        **SMALL,
    ),
    "wordy": LLAMA_2_7B.replace(
        vocab_size=16_384, embed=64, kv_heads=2, head_dim=32, ffw=160, **SMALL
    ),
    "mixture": MIXTRAL_8X7B.replace(
        vocab_size=512,
        embed=128,
        kv_heads=2,
        q_groups=2,
        head_dim=32,
        ffw=256,
        num_experts=4,
        **SMALL,
    ),
    "wide mixture": MIXTRAL_8X7B.replace(
        vocab_size=512,
        embed=256,
        kv_heads=2,
        q_groups=2,
        head_dim=64,
        ffw=512,
        num_experts=4,
        **SMALL,
    ),
    "pythia": GPT["pythia-70m"].replace(
        vocab_size=512, embed=128, kv_heads=4, head_dim=32, ffw=512
    ),
}
ALONE: dict[str, int] = {}
FSDP, BOTH, ALL = {"fsdp": 8}, {"fsdp": 4, "tensor": 2}, {"fsdp": 2, "tensor": 2}
ALL["expert"] = 2
ADAM_INT8 = {"optimizer.name": "adamw", "optimizer.moments": "int8"}
ROUNDED = {"optimizer.weights": "bfloat16"}
NARROW = {"model.compute_dtype": "bfloat16"}
CASES: list[tuple[str, str, str, str, dict[str, int], int, dict[str, Any]]] = [
    # model, verb, layout, remat, mesh, batch, more
    ("dense", "sft", "packed", "full", ALONE, 16, {}),
    ("dense", "sft", "packed", "none", ALONE, 16, {}),
    ("dense", "sft", "packed", "dots", ALONE, 16, {}),
    ("dense", "sft", "packed", "attention", ALONE, 16, {}),
    ("dense", "dpo", "padded", "full", ALONE, 32, {}),
    ("dense", "dpo", "padded", "attention", ALONE, 32, {}),
    ("dense", "dpo", "padded", "none", ALONE, 32, {}),
    ("dense", "dpo", "padded", "full", ALONE, 32, {"lora": {"rank": 8}}),
    ("dense", "dpo", "packed", "full", ALONE, 64, {"model.attention": "blocks"}),
    ("dense", "sft", "packed", "none", ALONE, 64, {"model.attention": "blocks"}),
    ("dense", "sft", "packed", "full", ALONE, 32, {"microbatches": 4}),
    ("dense", "dpo", "packed", "full", FSDP, 256, {}),
    ("dense", "dpo", "packed", "none", FSDP, 64, {}),
    ("dense", "dpo", "padded", "full", BOTH, 128, {}),
    ("dense", "dpo", "padded", "none", BOTH, 128, {}),
    ("dense", "sft", "packed", "full", FSDP, 256, {"model.attention": "blocks"}),
    ("wide", "sft", "packed", "full", ALONE, 8, {}),
    ("wide", "sft", "packed", "none", ALONE, 8, {}),
    ("wide", "sft", "packed", "full", ALONE, 8, {"optimizer.name": "adamw"}),
    ("wide", "sft", "packed", "full", ALONE, 8, {"optimizer.name": "adafactor"}),
    ("wide", "sft", "packed", "full", ALONE, 8, {"optimizer.moments": "int8"}),
    ("wide", "sft", "packed", "full", ALONE, 8, {"optimizer.weights": "bfloat16"}),
    ("wide", "dpo", "padded", "full", ALONE, 8, {}),
    ("wide", "sft", "packed", "full", FSDP, 8, {}),
    ("wide", "sft", "packed", "none", FSDP, 8, {}),
    ("wide", "dpo", "padded", "full", FSDP, 8, {}),
    ("wide", "sft", "packed", "full", BOTH, 8, {}),
    ("wide", "sft", "packed", "none", BOTH, 8, {}),
    ("wordy", "sft", "packed", "full", ALONE, 32, {}),
    ("wordy", "dpo", "padded", "full", ALONE, 128, {}),
    ("wordy", "sft", "packed", "full", FSDP, 32, {}),
    ("mixture", "sft", "packed", "full", ALONE, 32, {}),
    ("mixture", "sft", "packed", "none", ALONE, 32, {}),
    ("mixture", "dpo", "padded", "full", ALONE, 16, {}),
    ("mixture", "dpo", "packed", "full", BOTH, 64, {}),
    ("wide mixture", "sft", "packed", "full", ALONE, 8, {}),
    ("wide mixture", "sft", "packed", "none", ALONE, 8, {}),
    ("wide mixture", "sft", "packed", "full", FSDP, 8, {}),
    ("wide mixture", "sft", "packed", "full", ALL, 8, {}),
    ("pythia", "sft", "packed", "full", ALONE, 32, {}),
    ("pythia", "sft", "packed", "none", ALONE, 32, {}),
    ("wide", "sft", "packed", "full", ALONE, 8, ADAM_INT8),
    ("wide", "sft", "packed", "full", ALONE, 8, ADAM_INT8 | ROUNDED),
    ("wide", "sft", "packed", "full", ALONE, 32, {"microbatches": 4} | ROUNDED),
    ("wide", "sft", "packed", "full", ALONE, 8, ROUNDED | NARROW),
    ("wide", "sft", "packed", "none", ALONE, 8, ROUNDED),
    ("dense", "sft", "packed", "full", ALONE, 16, ROUNDED),
    ("wide", "sft", "packed", "full", FSDP, 8, {"optimizer.moments": "int8"}),
    ("wide", "sft", "packed", "full", FSDP, 8, ROUNDED),
]


def main() -> None:
    """Compiles what is named, or all that is not there yet; prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help="of cases' names; none: what is new")
    parts = parser.parse_args().parts
    PRESETS.update(MODELS)
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for case in CASES:
        model, verb, layout, remat, mesh, batch, more = case
        words = [model, verb, layout, remat, shown(mesh), f"{batch} items"]
        name = ", ".join([*words, *(f"{k}={v}" for k, v in more.items())])
        if all(part in name for part in parts) if parts else name not in found:
            found[name] = compared(case)
            print(name, found[name], flush=True)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print("| run | step | XLA, MB | model, MB | ratio |\n|---|---|---|---|---|")
    for name, steps in found.items():
        for step, (said, allotted) in steps.items():
            print(f"| {name} | {step} | {row(said, allotted, 1e6)} |")
    print(on_tpus())


def compared(case: tuple[Any, ...]) -> dict[str, tuple[int, int]]:
    """Bytes of a device for each step: the model's, and what XLA allots on CPUs."""
    model, verb, layout, remat, axes, batch, more = case
    document = run_of(verb, remat, batch) | {"rows": {"layout": layout}}
    document["tokens"] = {"max_prompt_tokens": 32, "max_completion_tokens": 32}
    document["model"]["attention"] = "xla"
    for key, value in more.items():
        *parents, last = key.split(".")
        (document[parents[0]] if parents else document)[last] = value
    config = validate(SftConfig if verb == "sft" else DpoConfig, document)
    count = 8 if axes else 1
    mesh = build_mesh(config.mesh.model_copy(update=axes), jax.devices()[:count])
    found = {}
    with jax.set_mesh(mesh):
        work = Workload.of(config, Assumed(model, "float32", 32, 32, None), mesh)
        said = estimates(work, "cpu")
        for step in work.steps():
            memory: Any = step.lowered.compile().memory_analysis()
            results = memory.output_size_in_bytes - memory.alias_size_in_bytes
            given = memory.argument_size_in_bytes + memory.temp_size_in_bytes
            found[step.demand.name] = (said[step.demand.name], given + results)
    return found


def run_of(verb: str, remat: str, batch: int) -> dict[str, Any]:
    """The config of a run."""
    data = {"prompts": "p", "completions": "c"} if verb == "sft" else {}
    return {
        "model": {"path": "nowhere", "remat": remat},
        "optimizer": {"name": "rmsprop", "learning_rate": 1e-6},
        "batch_size": batch,
    } | (data or {"preferences": "p"})


def estimates(work: Workload, platform: str) -> dict[str, int]:
    """The model's bytes of a device, by step."""
    model = MemoryModel(
        config=work.model,
        weights=work.weights,
        rows=work.batch[0],
        mesh=work.mesh.shape,
        platform=platform,
    )
    found = {"train": model.train(work.layout.abstract, work.parts, work.frozen).total}
    if work.has_reference:
        found["reference"] = model.reference().total
    return found


def on_tpus() -> str:
    """The model's figures beside those of benchmarks/results/plan.json."""
    lines = ["| step | TPU compiler, GiB | model, GiB | ratio |", "|---|---|---|---|"]
    for name, one in json.loads((FOLDER / "plan.json").read_text()).items():
        verb, preset, place, *more = name.split()
        if "failed" in one or verb == "sample" or more:
            continue
        document = run_of(verb, "full", one["batch_size"])
        document["model"]["compute_dtype"] = "bfloat16"
        config = validate(SftConfig if verb == "sft" else DpoConfig, document)
        # as `plan` does
        jax.config.update("jax_platforms", "cpu")
        mesh = build_mesh(config.mesh, tpu_topology(place).devices)
        with jax.set_mesh(mesh):
            assumed = Assumed(preset, "float32", None, None, None)
            said = estimates(Workload.of(config, assumed, mesh), "tpu")
        for step in one["steps"]:
            cells = row(said[step["name"]], step["bytes_per_chip"], 2**30)
            lines.append(f"| {name}, {step['name']} | {cells} |")
    return "\n".join(lines)


def row(said: int, allotted: int, unit: float) -> str:
    """What a compiler allots, what the model says, and their ratio."""
    return f"{allotted / unit:.1f} | {said / unit:.1f} | {said / allotted:.2f}"


def shown(mesh: dict[str, int]) -> str:
    """A mesh in words."""
    return " x ".join(f"{axis} {size}" for axis, size in mesh.items()) or "1 device"


if __name__ == "__main__":
    main()
