"""What a training step needs of a device's memory, with and without each technique.

    python benchmarks/memory.py [vocabulary techniques policies tpu measured]

Writes the parts that are named, or all that this machine can do, into
benchmarks/results/memory.json, and draws benchmarks/results/memory.png.

vocabulary: temporaries of the compiled SFT and DPO step while the vocabulary grows,
with our head in chunks and with all logits at once.
techniques: a DPO step with each technique taken away.
policies: what each `model.remat` keeps of a layer and computes again.
tpu: bytes a chip of DPO on all weights of Mistral 7B, by the TPU compiler, minutes a
policy; needs libtpu, but no TPU.
measured: the plan that a run prints beside what the device says that it took; needs a
GPU or a TPU.

All but the last are what XLA lays out when it compiles (`memory_analysis`): nothing
runs, so other load does not matter. The model is a Llama of 6 layers, 256 wide; a
batch has 16 pairs or examples of up to 256 + 256 tokens, drawn with a seed.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from rlaif_jax import figures
from rlaif_jax.config_losses import DpoLossConfig
from rlaif_jax.config_parts import AdamWConfig, GuardConfig, MeshConfig
from rlaif_jax.data.packing import Example, Pair, pack, pad
from rlaif_jax.losses.head import Head
from rlaif_jax.models import TransformerConfig, hidden_states, init_params
from rlaif_jax.models.registry import preset
from rlaif_jax.models.remat import REMATS
from rlaif_jax.models.transformer import abstract_params
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.runtime.platform import memory_limit
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.training import scoring
from rlaif_jax.training.batches import place_rows
from rlaif_jax.training.dpo import DpoObjective, PairBatch
from rlaif_jax.training.planned_step import PlannedStep
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.state import StateLayout

RESULTS = Path(__file__).parent / "results" / "memory.json"
FIGURE = RESULTS.with_suffix(".png")
TPU_PROGRAM = Path(__file__).parents[1] / "tests" / "end_to_end" / "tpu_program.py"
ITEMS, LONGEST, ROW = 16, 256, 1024
VOCABULARIES = (8_192, 32_768, 131_072, 262_144)
TPU = ("v5e:4x8", "mistral-7b-v0.1", "dpo", 32, 4096)  # slice, model, rows x tokens
MODEL = TransformerConfig(
    family="llama",
    vocab_size=32_768,
    embed=256,
    num_layers=6,
    kv_heads=4,
    q_groups=1,
    head_dim=64,
    ffw=688,
    max_positions=2048,
    norm_eps=1e-5,
    eos_token_id=0,
    attention="blocks",
)


def main() -> None:
    """Measures the parts that were asked for, and draws what there is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    chosen = parser.parse_args().parts or [
        name for name in PARTS if name != "measured" or memory_limit(jax.devices()[0])
    ]
    document = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in chosen:
        document[name] = PARTS[name]()
        print(name, json.dumps(document[name], indent=1), flush=True)
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    figures.save_figure(drawn(document), FIGURE)


# --- steps ------------------------------------------------------------------------


def items(kind: type) -> list:
    """Pairs or examples of random ids, the same every time."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(16, LONGEST + 1, (ITEMS, 3))
    sides = [[draw.integers(1, 8_000, n) for n in sizes] for sizes in lengths]
    return [kind(*parts[: len(kind._fields)]) for parts in sides]


def step_bytes(
    config: TransformerConfig,
    task: str = "dpo",
    *,
    is_packed: bool = True,
    has_all_logits: bool = False,
    has_reference: bool = False,
    donates: bool = True,
) -> dict[str, int]:
    """What XLA lays out for one step on one device.

    Args:
      config: The architecture.
      task: sft or dpo.
      is_packed: Or each completion has a row of its own.
      has_all_logits: Or the head works in chunks.
      has_reference: The reference is a second model in the step, or its
        log-probabilities were kept.
      donates: The new state takes the old one's memory.
    """
    mesh = build_mesh(MeshConfig(), jax.devices()[:1])
    found = items(Pair if task == "dpo" else Example)
    lay_out = (
        partial(pack, length=ROW) if is_packed else partial(pad, length=2 * LONGEST)
    )
    rows = lay_out(found)
    objective = (
        DpoObjective(config, PreferenceLoss(DpoLossConfig()))
        if task == "dpo"
        else sft_objective(config, "sequence_sum")
    )

    def loss(params, batch):
        if has_reference:
            rows, reference = batch
            kept = scoring.completion_token_logps(config, reference, rows)
            batch = PairBatch(rows, jax.lax.stop_gradient(kept))
        return objective(params, batch)

    layout = StateLayout.create(
        config, build_optimizer(AdamWConfig(learning_rate=1e-4), None), mesh
    )
    batch = place_rows(rows, mesh)
    if task == "dpo":
        kept = jnp.zeros(rows.sources.shape, jnp.float32)
        batch = (batch, layout.abstract.params if has_reference else kept)
        batch = batch if has_reference else PairBatch(*batch)
    step = layout.compile(loss, GuardConfig())
    if not donates:
        step = jax.jit(step.__wrapped__, out_shardings=(layout.shardings, None))
    head = all_logits if has_all_logits else scoring.slot_logps
    with jax.set_mesh(mesh), mock.patch.object(scoring, "slot_logps", head):
        memory = step.lower(layout.abstract, [batch], {}).compile().memory_analysis()
    given, made = memory.argument_size_in_bytes, memory.output_size_in_bytes
    return {
        "arguments": given,
        "temporaries": memory.temp_size_in_bytes,
        "peak": given + made - memory.alias_size_in_bytes + memory.temp_size_in_bytes,
    }


def all_logits(hidden, kernel, targets, head):
    """The head without chunks, as one writes it first."""
    del head
    logits = jnp.einsum("rcd,dv->rcv", hidden, kernel.astype(hidden.dtype))
    logps = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    return jnp.take_along_axis(logps, targets[..., None], axis=-1)[..., 0]


# --- parts ------------------------------------------------------------------------


def head_bytes(config: TransformerConfig, *, is_full: bool) -> int:
    """Temporaries of both gradients of the head alone, for the slots of the DPO step.

    The gradients themselves are results, and are not counted.
    """
    shape = pack(items(Pair), length=ROW).sources.shape
    head = Head(None, scoring._chunk(config, shape))

    def total(states, kernel, targets):
        find = all_logits if is_full else scoring.slot_logps
        return jnp.sum(find(states, kernel, targets, head))

    arguments = (
        jax.ShapeDtypeStruct((*shape, config.embed), jnp.float32),
        jax.ShapeDtypeStruct((config.embed, config.vocab_size), jnp.float32),
        jax.ShapeDtypeStruct(shape, jnp.int32),
    )
    gradient = jax.jit(jax.grad(total, argnums=(0, 1)))
    return gradient.lower(*arguments).compile().memory_analysis().temp_size_in_bytes


def vocabulary() -> list[dict[str, object]]:
    """Temporaries of both steps and of the head alone, with both heads."""
    rows = []
    for size in VOCABULARIES:
        config = MODEL.replace(vocab_size=size, remat="full")
        row = {"vocabulary": size, "head_and_embedding": 2 * 4 * size * config.embed}
        for task in ("sft", "dpo"):
            for name, is_full in (("chunks", False), ("all_logits", True)):
                found = step_bytes(config, task, has_all_logits=is_full)
                row[f"{task}_{name}"] = found["temporaries"]
                row[f"head_{name}"] = head_bytes(config, is_full=is_full)
        print(row, flush=True)
        rows.append(row)
    return rows


def techniques() -> dict[str, dict[str, int]]:
    """A DPO step, and what it takes when something is taken away or added."""
    dense = MODEL.replace(attention="xla")
    return {
        "default": step_bytes(MODEL),
        "padded rows, dense attention": step_bytes(dense, is_packed=False),
        "dense attention": step_bytes(dense),
        "all logits": step_bytes(MODEL, has_all_logits=True),
        "reference in the step": step_bytes(MODEL, has_reference=True),
        "no donation": step_bytes(MODEL, donates=False),
        "none of them": step_bytes(
            dense,
            is_packed=False,
            has_all_logits=True,
            has_reference=True,
            donates=False,
        ),
        "bfloat16 activations": step_bytes(MODEL.replace(compute_dtype="bfloat16")),
        **{
            f"remat={name}": step_bytes(MODEL.replace(remat=name))
            for name in REMATS
            if name not in ("none", "offload")  # the latter needs a second memory
        },
    }


def policies() -> dict[str, dict[str, float]]:
    """Bytes that a layer keeps of a token, and products computed again.

    Of dense attention over rows of 512, from layers in a loop: a compiler counts what
    its body does once. The bytes are those of 12 layers less those of 6.
    """
    shape, found = (4, 512), {}
    token_ids = jax.ShapeDtypeStruct(shape, jnp.int32)
    for name in ("none", "dots", "attention", "full"):
        temporaries = []
        for depth in (6, 12):
            config = MODEL.replace(remat=name, attention="xla", num_layers=depth)

            def total(params, ids, config=config):
                places = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
                ones = jnp.ones_like(ids)
                states = hidden_states(config, params, ids, places, ones)
                return jnp.sum(jnp.square(states.hidden))

            lowered = jax.jit(jax.grad(total)).lower(abstract_params(config), token_ids)
            compiled = lowered.compile()
            temporaries.append(compiled.memory_analysis().temp_size_in_bytes)
        a_layer = (temporaries[1] - temporaries[0]) / 6
        found[name] = {
            "floats_kept_of_a_token": round(a_layer / (4 * np.prod(shape)), 1),
            "gigaflops_of_a_layer": round(compiled.cost_analysis()["flops"] / 1e9, 3),
        }
    plain = found["none"]["gigaflops_of_a_layer"]
    for row in found.values():
        row["flops_over_none"] = round(row["gigaflops_of_a_layer"] / plain, 3)
    return found


def tpu() -> dict[str, object]:
    """Bytes a chip for each policy; and what a pair costs."""
    place, name, task, num_rows, num_tokens = TPU
    table = {}
    for policy in REMATS:
        changes = json.dumps({"attention": "splash", "remat": policy})
        arguments = [place, name, changes, task, str(num_rows), str(num_tokens)]
        done = subprocess.run(
            [sys.executable, str(TPU_PROGRAM), *arguments],
            env=os.environ | {"XLA_FLAGS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        table[policy] = told(done.stdout, done.stderr)
        print(policy, table[policy], flush=True)
    return tpu_table(table)


def told(stdout: str, stderr: str) -> dict[str, object]:
    """One policy's bytes, or what the compiler says of a chip that is too small."""
    if stdout.strip():
        report = json.loads(stdout.splitlines()[-1])
        kept = ("argument_bytes", "temporary_bytes", "host_bytes", "kernels", "seconds")
        return {key: report[key] for key in kept}
    lines = [line for line in stderr.splitlines() if "RESOURCE_EXHAUSTED" in line]
    return {"refused": lines[-1] if lines else stderr[-300:]}


def tpu_table(table: dict[str, object]) -> dict[str, object]:
    """The policies with what they were compiled for."""
    place, name, task, num_rows, num_tokens = TPU
    return {
        "slice": place,
        "model": name,
        "step": f"{task}, {num_rows} rows of {num_tokens} tokens, RMSprop",
        "policies": table,
        "teraflops_of_a_pair_256_256_256": round(pair_flops(preset(name)) / 1e12, 2),
    }


def pair_flops(config: TransformerConfig, prompt: int = 256, side: int = 256) -> float:
    """Products and sums of one DPO pair, forward and backward, nothing twice.

    6 a weight and token, of a prompt that is computed once; the head sees completions.
    """
    heads, keys = config.num_heads * config.head_dim, config.kv_heads * config.head_dim
    layer = 2 * config.embed * (heads + keys) + 3 * config.embed * config.ffw
    weights = layer * config.num_layers * (prompt + 2 * side)
    weights += config.embed * config.vocab_size * 2 * side
    read = prompt * (prompt + 1) / 2 + 2 * side * (prompt + (side + 1) / 2)
    return 6 * weights + 3 * 4 * heads * read * config.num_layers


def measured() -> list[dict[str, object]]:
    """The plan of real steps, and the highest that the device has seen.

    The device tells one number for the whole process: from the smallest step on.
    """
    rows, mesh = [], build_mesh(MeshConfig(), jax.devices()[:1])
    device = mesh.local_devices[0]
    if memory_limit(device) is None:
        raise SystemExit(f"measured: {device} does not tell what it used")
    for policy in ("full", "dots", "none"):
        config = MODEL.replace(remat=policy, attention="blocks", embed=1024, ffw=2752)
        optimizer = build_optimizer(AdamWConfig(learning_rate=1e-4), None)
        layout = StateLayout.create(config, optimizer, mesh)
        objective = DpoObjective(config, PreferenceLoss(DpoLossConfig()))
        with jax.set_mesh(mesh):
            make = jax.jit(partial(init_params, config))
            state = layout.fresh(make(jax.random.key(0)), is_spare=True)
            placed = place_rows(
                pack(items(Pair), length=ROW), mesh, vocab_size=config.vocab_size
            )
            batch = PairBatch(placed, jnp.zeros(placed.sources.shape))
            step = PlannedStep(
                layout.compile(objective, GuardConfig()),
                config=config,
                mesh=mesh,
                tell=lambda plan: print(plan.table(), flush=True),
            )
            for _ in range(3):
                state, _ = step(state, [batch], {})
            jax.block_until_ready(state)
        assert step.largest is not None
        peak = (device.memory_stats() or {})["peak_bytes_in_use"]
        plan = step.largest.peak - step.largest.program  # code is not in the pool
        rows.append(
            {"policy": policy, "plan": plan, "measured": peak, "ratio": plan / peak}
        )
        del state
    return rows


# --- the figure -------------------------------------------------------------------


def drawn(document: dict) -> object:
    """Temporaries over the vocabulary, and the techniques as bars."""
    figure = figures.new_figure(11, 4.2, columns=2)
    left, right = figure.axes
    rows = document["vocabulary"]
    sizes = [row["vocabulary"] for row in rows]
    lines = {
        "dpo_all_logits": ("DPO, all logits", figures.VERMILION, "-"),
        "sft_all_logits": ("SFT, all logits", figures.ORANGE, "-"),
        "dpo_chunks": ("DPO, in chunks", figures.BLUE, "-"),
        "sft_chunks": ("SFT, in chunks", figures.SKY, "-"),
        "head_chunks": ("head alone, in chunks", figures.GREEN, "-"),
        "head_and_embedding": ("gradients of head and embedding", figures.INK, ":"),
    }
    for key, (label, color, style) in lines.items():
        values = [row[key] / 2**30 for row in rows]
        left.plot(sizes, values, style, color=color, label=label, marker="o", ms=4)
    left.set_xscale("log", base=2)
    left.set_xticks(sizes, [f"{size // 1024}k" for size in sizes])
    left.set_xlabel("words in the vocabulary")
    left.set_ylabel("temporaries of a step, GiB")
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=8)
    table = document["techniques"]
    names = list(table)[::-1]
    at = np.arange(len(names))
    state = [table[name]["arguments"] / 2**30 for name in names]
    rest = [(table[name]["peak"] - table[name]["arguments"]) / 2**30 for name in names]
    right.barh(at, state, color=figures.SKY, label="state, batch, reference")
    right.barh(at, rest, left=state, color=figures.BLUE, label="temporaries, results")
    right.set_yticks(at, names, fontsize=8)
    right.set_xlabel("memory of a DPO step, GiB")
    right.legend(frameon=False, fontsize=8)
    return figure


PARTS: dict[str, Callable[[], object]] = {
    "vocabulary": vocabulary,
    "techniques": techniques,
    "policies": policies,
    "tpu": tpu,
    "measured": measured,
}


if __name__ == "__main__":
    main()
