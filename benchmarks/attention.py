"""How long attention takes densely and in blocks, forward and backward.

    python benchmarks/attention.py

For rows of several texts (100 to 800 tokens), of pairs that share their prompt, and of
one text with padding; and for a whole model's gradient on the first of them. Each
measurement has a process of its own, and the two backends take turns: in one process
the second is slowed down by what the first left behind. Writes
benchmarks/results/attention.json.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rlaif_jax.models import TransformerConfig, hidden_states, init_params
from rlaif_jax.models.attending import blocks, dense
from rlaif_jax.models.attending.places import Places
from rlaif_jax.models.attending.rule import Heads, Rule

RESULTS = Path(__file__).parent / "results" / "attention.json"
BACKENDS = {"xla": dense, "blocks": blocks}
ROUNDS, STEPS = 3, 3
TOKENS = 4096  # of all rows together
CASES = {  # kind of rows, tokens of a row, and what is computed
    "packed, 1024": ("packed", 1024, "attention"),
    "packed, 2048": ("packed", 2048, "attention"),
    "pairs, 1024": ("pairs", 1024, "attention"),
    "padded, 1024": ("padded", 1024, "attention"),
    "full, 1024": ("full", 1024, "attention"),
    "padded, 256": ("padded", 256, "attention"),
    "packed, 1024, whole model": ("packed", 1024, "model"),
}
MODEL = TransformerConfig(
    family="llama",
    vocab_size=8192,
    embed=256,
    num_layers=4,
    kv_heads=4,
    q_groups=1,
    head_dim=64,
    ffw=688,
    max_positions=2048,
    norm_eps=1e-5,
    eos_token_id=0,
)


def main() -> None:
    """Measures every case with both backends, in turns."""
    rows = {}
    for case in CASES:
        seconds = {name: [] for name in BACKENDS}
        for _ in range(ROUNDS):
            for name in BACKENDS:
                seconds[name].append(measure(case, name))
        rows[case] = summary(case, seconds)
        print(case, rows[case], flush=True)
    document = {"tokens": TOKENS, "cpus": os.cpu_count(), "cases": rows}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")


def summary(case: str, seconds: dict[str, list[float]]) -> dict[str, object]:
    """Medians of a case, their ratio, and how much of its rows is text."""
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    kind, length, _ = CASES[case]
    is_text = places(kind, length).segments > 0
    return {
        "text_fraction": round(float(is_text.mean()), 3),
        "seconds": {name: [round(s, 4) for s in seconds[name]] for name in seconds},
        "xla_over_blocks": round(medians["xla"] / medians["blocks"], 2),
    }


def measure(case: str, name: str) -> float:
    """Median seconds of a step, from a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, case, name],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def run(case: str, name: str) -> float:
    """The same, in this process; the first step, which compiles, is not counted."""
    kind, length, what = CASES[case]
    make = attention_step if what == "attention" else model_step
    step, argument = make(places(kind, length), name)
    times = []
    for _ in range(1 + STEPS):
        started = time.monotonic()
        jax.block_until_ready(step(argument))
        times.append(time.monotonic() - started)
    return statistics.median(times[1:])


def attention_step(at: Places, name: str):
    """The gradient of one layer's attention, and random heads."""
    keys = jax.random.split(jax.random.key(0), 3)
    shape = (*at.segments.shape, MODEL.kv_heads)
    width = MODEL.head_dim
    heads = Heads(
        jax.random.normal(keys[0], (*shape, MODEL.q_groups, width)),
        jax.random.normal(keys[1], (*shape, width)),
        jax.random.normal(keys[2], (*shape, width)),
    )
    rule, module = Rule.of(MODEL), BACKENDS[name]

    def total(heads: Heads, at: Places):
        read = module.read(heads, module.prepare(at, rule), rule)
        return jnp.sum(jnp.square(read) * (at.segments > 0)[:, :, None, None, None])

    grad = jax.jit(jax.value_and_grad(total))
    return lambda heads: grad(heads, at), heads


def model_step(at: Places, name: str):
    """The gradient of a whole model's states, and its parameters."""
    config = MODEL.replace(attention=name)
    shape = at.segments.shape
    token_ids = jax.random.randint(jax.random.key(1), shape, 0, config.vocab_size)

    def total(params, at: Places):
        states = hidden_states(config, params, token_ids, at.positions, at.segments)
        return jnp.sum(jnp.square(states.hidden) * (at.segments > 0)[..., None])

    params = jax.jit(partial(init_params, config))(jax.random.key(0))
    grad = jax.jit(jax.value_and_grad(total))
    return lambda params: grad(params, at), params


def places(kind: str, length: int) -> Places:
    """Rows of one kind, drawn anew but equal in every process."""
    draw = np.random.default_rng(0)
    parts = np.zeros((3, TOKENS // length, length), np.int32)
    for row in range(TOKENS // length):
        used = 0
        for number, sizes in enumerate(drawn(kind, length, draw), start=1):
            size = sum(sizes)
            if used + size > length:
                break
            prompt, chosen, rejected = sizes
            positions = [*range(prompt + chosen), *range(prompt, prompt + rejected)]
            part = parts[:, row, used : used + size]
            part[0], part[1] = positions, number
            part[2] = np.repeat([0, 1, 2], sizes)
            used += size
    positions, segments, branches = jnp.asarray(parts)
    return Places(positions, segments, branches if kind == "pairs" else None)


def drawn(kind: str, length: int, draw: np.random.Generator):
    """Lengths of the prompt, the chosen and the rejected, until a row is full."""
    if kind == "full":
        return [(length, 0, 0)]
    if kind == "padded":
        return [(int(draw.integers(length // 10, length)), 0, 0)]
    if kind == "packed":
        return [(int(n), 0, 0) for n in draw.integers(100, 800, 20)]
    return [tuple(map(int, draw.integers(30, 250, 3))) for _ in range(20)]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(run(sys.argv[1], sys.argv[2])))
    else:
        main()
