"""A step by hand: what one writes with care, and no library beneath it.

    python benchmarks/train_arms/bare.py FOLDER TASK SHAPE PART

Rows are padded to the longest of the batch, the head sees completion tokens only, the
reference is known beforehand, layers are scanned and unrolled, the state is donated,
and nothing is logged but the loss.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from race import (
    BETA,
    CLIP,
    RATE,
    Clock,
    Item,
    Race,
    padded_length,
    race_from_arguments,
    tell,
    warm_up,
)
from safetensors.numpy import load_file

HEADS, EPS, THETA, UNROLL = 4, 1e-6, 1e6, 4
NAMES = {
    "norm1": "input_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "norm2": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


class Batch(NamedTuple):
    """One batch, padded; rows of chosen before rows of rejected."""

    ids: Any
    starts: Any  # of the completions
    lengths: Any
    slots: Any  # 0, 1, 2, ... to the longest completion


def load_params(folder: Any) -> dict[str, Any]:
    """The weights, layers stacked, kernels [in out]."""
    found = load_file(folder / "model" / "model.safetensors")
    num_layers = sum("input_layernorm" in name for name in found)

    def stacked(name: str) -> Any:
        layers = [found[f"model.layers.{i}.{name}.weight"] for i in range(num_layers)]
        return jnp.asarray(np.stack([w.T if w.ndim == 2 else w for w in layers]))

    return {
        "embedding": jnp.asarray(found["model.embed_tokens.weight"]),
        "head": jnp.asarray(found["lm_head.weight"].T),
        "norm": jnp.asarray(found["model.norm.weight"]),
        "layers": {key: stacked(name) for key, name in NAMES.items()},
    }


def normed(x: Any, scale: Any) -> Any:
    """RMS norm."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + EPS) * scale


def hidden(params: Any, ids: Any) -> Any:
    """Final states of right-padded rows."""
    rows, length = ids.shape
    width = params["norm"].shape[0] // HEADS
    turns = THETA ** (-jnp.arange(0, width, 2) / width)
    angles = (jnp.arange(length)[:, None] * turns)[:, None]
    cos, sin = jnp.cos(angles), jnp.sin(angles)

    def heads(x: Any) -> Any:
        return x.reshape(rows, length, HEADS, width)

    def turned(x: Any) -> Any:
        a, b = jnp.split(x, 2, -1)
        return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def layer(x: Any, w: Any) -> Any:
        h = normed(x, w["norm1"])
        q, k, v = (heads(h @ w[name]) for name in ("q", "k", "v"))
        read = jax.nn.dot_product_attention(turned(q), turned(k), v, is_causal=True)
        x = x + read.reshape(x.shape) @ w["o"]
        h = normed(x, w["norm2"])
        return x + (jax.nn.silu(h @ w["gate"]) * (h @ w["up"])) @ w["down"], None

    x = params["embedding"][ids]
    x, _ = jax.lax.scan(layer, x, params["layers"], unroll=UNROLL)
    return normed(x, params["norm"])


def logps(params: Any, batch: Batch) -> Any:
    """Of each completion."""
    at = jnp.minimum(batch.starts[:, None] + batch.slots, batch.ids.shape[1] - 1)
    states = hidden(params, batch.ids)
    states = jnp.take_along_axis(states, at[..., None] - 1, axis=1)
    logits = states @ params["head"]
    targets = jnp.take_along_axis(batch.ids, at, axis=1)
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    token_logps = chosen - jax.nn.logsumexp(logits, axis=-1)
    return jnp.sum(token_logps, -1, where=batch.slots < batch.lengths[:, None])


def padded(items: list[Item]) -> Batch:
    """One row for each completion."""
    sides = range(1, len(items[0]))
    rows = [(item[0], item[side]) for side in sides for item in items]
    length = padded_length(max(len(prompt) + len(end) for prompt, end in rows))
    ids = np.zeros((len(rows), length), np.int32)
    for row, (prompt, end) in zip(ids, rows, strict=True):
        row[: len(prompt) + len(end)] = [*prompt, *end]
    starts, lengths = (
        np.array([len(row[part]) for row in rows], np.int32) for part in (0, 1)
    )
    slots = np.arange(padded_length(lengths.max()), dtype=np.int32)
    return Batch(ids, starts, lengths, slots)


def loss_fn(params: Any, batch: Batch, reference: Any) -> Any:
    """DPO, or the mean over examples of their token means."""
    found = logps(params, batch)
    if reference is None:
        return -(found / batch.lengths).mean()
    chosen, rejected = jnp.split(found - reference, 2)
    return -jax.nn.log_sigmoid(BETA * (chosen - rejected)).mean()


def main(race: Race) -> None:
    """Trains one part of the epoch."""
    batches, start = race.batches, load_params(race.folder)
    optimizer = optax.chain(
        optax.clip_by_global_norm(CLIP), optax.adamw(RATE, weight_decay=0.0)
    )

    @partial(jax.jit, donate_argnums=0)
    def update(state: Any, batch: Batch, reference: Any) -> Any:
        params, moments = state
        loss, grads = jax.value_and_grad(loss_fn)(params, batch, reference)
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments), loss

    def train(found: list[list[Item]]) -> list[Any]:
        own = jax.tree.map(jnp.copy, start)
        state, losses = (own, optimizer.init(own)), []
        for items in found:
            state, loss = update(state, padded(items), known.get(id(items)))
            losses.append(loss)
        return [float(loss) for loss in losses]

    clock, score = Clock(), jax.jit(logps)
    whole = [padded(items) for items in batches]
    clock.lap("packing")
    pairs = zip(batches, whole, strict=True) if race.task == "dpo" else ()
    known = {id(items): np.asarray(score(start, batch)) for items, batch in pairs}
    clock.lap("reference")
    shapes = {id(i): (b.ids.shape, b.slots.shape) for i, b in zip(batches, whole)}  # noqa: B905
    train(warm_up(batches, lambda items: shapes[id(items)]))
    clock.lap("compile")
    losses = train(batches)
    clock.lap("train")
    text = sum(len(part) for b in batches for item in b for part in item[1:])
    text += sum(len(item[0]) * (len(item) - 1) for b in batches for item in b)
    fraction = text / sum(batch.ids.size for batch in whole)
    told = sorted(f"{a[0]} x {a[1]}, {b[0]} slots" for a, b in set(shapes.values()))
    tell(race, clock, losses, text_fraction=round(fraction, 3), shapes=told)


if __name__ == "__main__":
    main(race_from_arguments())
