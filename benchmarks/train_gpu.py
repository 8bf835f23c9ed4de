"""How fast DPO and SFT train a Mistral-7B on one accelerator.

    python benchmarks/train_gpu.py [--preset mistral-7b-v0.1] [--batch 16]

Random weights of a preset's shape, kept and updated in float32 by RMSprop (the paper's
optimizer: 87 GB with the gradient for 7.2 billion), computed in bfloat16, every layer
rematerialized. Random ids in rows of 512 tokens: SFT of 128 + 384, DPO of pairs of 128
with 192 each, whose prompt is computed once, with the reference known beforehand.
Prints one JSON line a task: items an hour, tokens a second, and MFU, which is the
model's FLOPs (6 for every weight that a token passes, the head's on completion tokens
only, and attention's; not those of rematerialization) over the peak that
`--peak-tflops` states. It has been run with `--small` on a CPU; not on a GPU.
"""

import argparse
import json
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlaif_jax.config_losses import DpoLossConfig
from rlaif_jax.config_parts import GuardConfig, MeshConfig, RmspropConfig
from rlaif_jax.data.packing import Example, PackedRows, Pair, pack
from rlaif_jax.models import Params, TransformerConfig, init_params
from rlaif_jax.models.registry import preset
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.training.batches import place_rows
from rlaif_jax.training.dpo import DpoObjective, PairBatch
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.scoring import completion_token_logps
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.state import StateLayout

LENGTH, RATE = 512, 5e-7
PARTS = {"sft": (128, 384), "dpo": (128, 192, 192)}
SMALL = {"num_layers": 2, "embed": 64, "ffw": 128, "head_dim": 16, "vocab_size": 512}


def main() -> None:
    """Trains both tasks and prints their lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="mistral-7b-v0.1")
    parser.add_argument("--batch", type=int, default=16, help="rows a step")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--attention", nargs="+", default=["blocks", "xla"])
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="an H200's")
    parser.add_argument("--small", action="store_true", help="two narrow layers")
    options = parser.parse_args()
    config = preset(options.preset).replace(compute_dtype="bfloat16", remat="full")
    config = config.replace(**SMALL) if options.small else config
    mesh = build_mesh(MeshConfig(), jax.devices()[:1])
    with jax.set_mesh(mesh):
        for attention in options.attention:
            for task in PARTS:
                chosen = config.replace(attention=attention)
                print(json.dumps(race(task, chosen, mesh, options)), flush=True)


def race(
    task: str, config: TransformerConfig, mesh: Any, options: argparse.Namespace
) -> dict[str, Any]:
    """One task's figures."""
    rows = random_rows(task, config, options.batch)
    placed = place_rows(rows, mesh)
    states = StateLayout.create(
        config, build_optimizer(RmspropConfig(learning_rate=RATE), None), mesh
    )
    step = states.compile(objective(task, config), GuardConfig())
    make = jax.jit(partial(init_params, config), out_shardings=states.shardings.params)
    started = time.perf_counter()
    params = make(jax.random.key(0))
    batch = reference_batch(config, params, placed) if task == "dpo" else placed
    state = states.fresh(params, is_spare=True)
    state, metrics = step(state, [batch], {})  # compiles
    first_loss = float(metrics["loss"])
    compiled = time.perf_counter()
    for _ in range(options.steps):
        state, metrics = step(state, [batch], {})
    float(metrics["loss"])
    seconds = (time.perf_counter() - compiled) / options.steps
    flops = model_flops(config, state.params, rows, task)
    del state, batch
    return {
        "task": task,
        "attention": config.attention,
        "device": jax.devices()[0].device_kind,
        "first_loss": round(first_loss, 4),
        "seconds_a_step": round(seconds, 4),
        "items_an_hour": round(options.batch * 3600 / seconds),
        "tokens_a_second": round(rows.token_ids.size / seconds),
        "mfu": round(flops / seconds / (options.peak_tflops * 1e12), 4),
        "first_pass_seconds": round(compiled - started, 1),
        "peak_bytes": (jax.local_devices()[0].memory_stats() or {}).get(
            "peak_bytes_in_use"
        ),
    }


def random_rows(task: str, config: TransformerConfig, batch: int) -> PackedRows:
    """Rows of one full item each."""
    draw = np.random.default_rng(0)
    make = Pair if task == "dpo" else Example
    items = [
        make(*(draw.integers(1, config.vocab_size, size) for size in PARTS[task]))
        for _ in range(batch)
    ]
    return pack(items, length=LENGTH)


def objective(task: str, config: TransformerConfig) -> Any:
    """What is descended."""
    if task == "sft":
        return sft_objective(config, "token_mean")
    return DpoObjective(config, PreferenceLoss(DpoLossConfig()))


def reference_batch(
    config: TransformerConfig, params: Params, placed: PackedRows
) -> PairBatch:
    """The batch, and what the first weights say of it."""
    score = jax.jit(partial(completion_token_logps, config))
    return PairBatch(placed, score(params, placed))


def model_flops(
    config: TransformerConfig, params: Params, rows: PackedRows, task: str
) -> float:
    """FLOPs of one step of the texts: forward 2 a weight and token, backward 4."""
    sizes = jax.tree.map(jnp.size, params)
    head = config.vocab_size * config.embed
    layers = sum(jax.tree.leaves(sizes["layers"]))
    completions = float(rows.lengths.sum())
    prompt, *sides = PARTS[task]
    # of each completion's tokens: the prompt's, and half of the completion's
    read = prompt**2 / 2 + sum(side * (prompt + side / 2) for side in sides)
    width = config.num_layers * config.kv_heads * config.q_groups * config.head_dim
    attention = 2 * 2 * width * read * len(rows.lengths)
    text = float((rows.segment_ids > 0).sum())
    return 3 * (2 * layers * text + 2 * head * completions + attention)


if __name__ == "__main__":
    main()
