"""How fast SFT and DPO train, packed and padded, beside a bare step and TRL.

    python benchmarks/train.py DATA [--trl PYTHON] [--batches 8] [--rounds 3]

DATA is a folder of AlpacaEval annotation files (`*.annotations.json.gz`), of which real
instructions and outputs are taken; --trl names the interpreter of an environment with
TRL and torch. The model is a Llama of 4 layers, 256 wide, with a vocabulary of 8,192,
of the same random weights in all arms; a batch has 16 items in the same order; the
reference's log-probabilities are known beforehand in all arms. Each arm has a process
of its own, arms take turns, and the first pass over the batches, which compiles, is
not counted. Our arms count everything from ids to the updated state: packing, placing,
metrics. Writes benchmarks/results/train.json.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlaif_jax.checkpoint import import_hf
from rlaif_jax.config_losses import DpoLossConfig
from rlaif_jax.config_parts import AdamWConfig, MeshConfig, RowsConfig, TokensConfig
from rlaif_jax.data.layout import layout_function, row_tokens
from rlaif_jax.data.packing import Example, Pair, fill
from rlaif_jax.models import hidden_states, unembed
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.training.batches import place_rows
from rlaif_jax.training.dpo import DpoObjective, PairBatch
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.scoring import completion_token_logps
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.state import StateLayout

RESULTS = Path(__file__).parent / "results" / "train.json"
CHOSEN, REJECTED = "claude", "text_davinci_003"
BATCH, LIMITS, RATE, BETA = 16, (256, 256), 1e-4, 0.1
TASKS = ("dpo", "sft")
OURS = {  # arm to layout and attention
    "packed": ("packed", "blocks"),
    "packed, dense attention": ("packed", "xla"),
    "padded": ("padded", "xla"),
}
BARE = "bare step, padded to the longest"


def main() -> None:
    """Runs all arms in turns and writes the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--trl")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", help="one arm, in this process: TASK/ARM/FOLDER")
    options = parser.parse_args()
    if options.arm:
        print(json.dumps(run_arm(*options.arm.split("/", 2))))
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(options.data, Path(folder), options.batches)
        tasks = {task: race(task, folder, options) for task in TASKS}
    document = {
        "cpus": os.cpu_count(),
        "batches": options.batches,
        "items_per_batch": BATCH,
        "tasks": tasks,
    }
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")


def race(task: str, folder: str, options: argparse.Namespace) -> dict[str, object]:
    """Every arm of a task, in turns, with its medians."""
    arms = [*OURS, BARE] + ["TRL"] * bool(options.trl)
    runs: dict[str, list[dict]] = {arm: [] for arm in arms}
    for _ in range(options.rounds):
        for arm in arms:
            python = options.trl if arm == "TRL" else sys.executable
            script = Path(__file__).with_name("train_trl.py")
            command = [python, str(script), task, folder]
            if arm != "TRL":
                command = [python, __file__, str(options.data)]
                command += ["--arm", f"{task}/{arm}/{folder}"]
            done = subprocess.run(
                command,
                env=os.environ | {"JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"},
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            runs[arm].append(json.loads(done.stdout.splitlines()[-1]))
    rates = {
        arm: statistics.median(one["items_per_second"] for one in found)
        for arm, found in runs.items()
    }
    table = {
        arm: found[0]
        | {
            "items_per_second": [round(one["items_per_second"], 2) for one in found],
            "packed_over_this": round(rates["packed"] / rates[arm], 2),
        }
        for arm, found in runs.items()
    }
    for arm, row in table.items():
        print(task, arm, json.dumps(row), flush=True)
    return table


# --- what all arms read -----------------------------------------------------------


def prepare(data: Path, folder: Path, num_batches: int) -> None:
    """Writes pairs of ids, a tokenizer of their texts, and a random model."""
    packed = (data / f"{CHOSEN}.annotations.json.gz").read_bytes()
    rows = json.loads(gzip.decompress(packed))
    texts = [(r["instruction"], r["output_2"], r["output_1"]) for r in rows]
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=8192, special_tokens=["</s>"], show_progress=False
    )
    bare.train_from_iterator((part for row in texts for part in row), trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="</s>")
    wrapped.pad_token = "</s>"
    wrapped.save_pretrained(folder / "model")
    pairs = []
    for prompt, chosen, rejected in texts[: num_batches * BATCH]:
        ids = [bare.encode(text).ids for text in (prompt, chosen, rejected)]
        ids = [ids[0][-LIMITS[0] :], *([*side[: LIMITS[1] - 1], 0] for side in ids[1:])]
        pairs.append(ids)
    (folder / "pairs.json").write_text(json.dumps(pairs))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        eos_token_id=0,
        bos_token_id=0,
        max_position_embeddings=2048,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")


def batches(task: str, folder: str) -> list[list]:
    """The items of each batch, as ids."""
    pairs = json.loads((Path(folder) / "pairs.json").read_text())
    items = [Pair(*ids) if task == "dpo" else Example(ids[0], ids[1]) for ids in pairs]
    return [items[i : i + BATCH] for i in range(0, len(items), BATCH)]


def run_arm(task: str, arm: str, folder: str) -> dict[str, object]:
    """One arm's items per second, its losses and its shapes."""
    make = bare_arm if arm == BARE else partial(our_arm, *OURS[arm])
    step, state, told = make(task, folder)
    found = batches(task, folder)
    started = time.monotonic()
    losses = []
    for items in found:  # compiles every shape
        state, loss = step(state, items)
        losses.append(float(loss))
    compiled = time.monotonic()
    for items in found:
        state, loss = step(state, items)
    jax.block_until_ready((state, loss))
    seconds = time.monotonic() - compiled
    return told() | {
        "items_per_second": len(found) * BATCH / seconds,
        "first_pass_seconds": round(compiled - started, 1),
        "losses": [round(loss, 5) for loss in losses[:4]],
    }


# --- our arms -----------------------------------------------------------------------


def our_arm(layout_name: str, attention: str, task: str, folder: str):
    """The step that `sft` and `dpo` take, from ids on."""
    config, params = import_hf(Path(folder) / "model")
    config = config.replace(attention=attention)
    mesh = build_mesh(MeshConfig(), jax.devices()[:1])
    rows_config = RowsConfig(layout=layout_name)
    tokens = TokensConfig(max_prompt_tokens=LIMITS[0], max_completion_tokens=LIMITS[1])
    length = row_tokens(
        rows_config,
        tokens,
        num_completions=1 + (task == "dpo"),
        items_a_device=float(BATCH),
    )
    lay_out = layout_function(rows_config, length=length)
    optimizer = build_optimizer(AdamWConfig(learning_rate=RATE), None)
    state_layout = StateLayout.create(config, optimizer, mesh)
    objective = (
        DpoObjective(config, PreferenceLoss(DpoLossConfig(beta=BETA)))
        if task == "dpo"
        else sft_objective(config, "token_mean")
    )
    compiled = state_layout.compile(objective)
    score = jax.jit(partial(completion_token_logps, config))
    known, fills, shapes = {}, [], set()

    def step(state, items):
        rows = lay_out(items)
        placed = place_rows(rows, mesh, vocab_size=config.vocab_size)
        batch = placed
        if task == "dpo":
            key = id(items)
            if key not in known:
                known[key] = np.asarray(score(params, placed))
            batch = PairBatch(placed, jnp.asarray(known[key]))
        fills.append(fill(rows))
        shapes.add((rows.token_ids.shape, rows.sources.shape))
        state, metrics = compiled(state, batch, {})
        return state, metrics["loss"]

    def told():
        shown = sorted(f"{a[0]} x {a[1]}, {b[1]} slots" for a, b in shapes)
        return {"text_fraction": round(float(np.mean(fills)), 3), "shapes": shown}

    return step, state_layout.fresh(params), told


# --- a step by hand -----------------------------------------------------------------


def bare_arm(task: str, folder: str):
    """What one writes with care: rows padded to the longest of the batch.

    The head sees completion tokens only, and nothing is logged but the loss.
    """
    config, params = import_hf(Path(folder) / "model")
    optimizer = optax.chain(
        optax.clip_by_global_norm(10.0), optax.adamw(RATE, weight_decay=0.0)
    )
    known, shapes = {}, set()

    def logps(params, ids, ends):
        starts, lengths, slots = ends
        positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
        is_text = positions < (starts + lengths)[:, None]
        states = hidden_states(config, params, ids, positions, is_text.astype(int))
        at = jnp.minimum(starts[:, None] + slots, ids.shape[1] - 1)
        hidden = jnp.take_along_axis(states.hidden, at[..., None] - 1, axis=1)
        logits = unembed(config, params, hidden)
        targets = jnp.take_along_axis(ids, at, axis=1)
        chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        token_logps = chosen - jax.nn.logsumexp(logits, axis=-1)
        return jnp.sum(token_logps, axis=-1, where=slots < lengths[:, None])

    def loss_fn(params, ids, ends, reference):
        found = logps(params, ids, ends)
        if task == "sft":
            return -(found / ends[1]).mean()
        ratios = found - reference
        return -jax.nn.log_sigmoid(BETA * (ratios[:BATCH] - ratios[BATCH:])).mean()

    @partial(jax.jit, donate_argnums=0)
    def update(state, ids, ends, reference):
        params, moments = state
        loss, grads = jax.value_and_grad(loss_fn)(params, ids, ends, reference)
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments), loss

    score = jax.jit(logps)

    def step(state, items):
        sides = range(1, len(items[0]))
        sequences = [(item[0], item[side]) for side in sides for item in items]
        longest = max(len(prompt) + len(end) for prompt, end in sequences)
        length = -(-longest // 64) * 64
        ids = np.zeros((len(sequences), length), np.int32)
        for row, (prompt, end) in enumerate(sequences):
            stop = len(prompt) + len(end)
            ids[row, :stop] = [*prompt, *end]
        starts = np.array([len(prompt) for prompt, _ in sequences], np.int32)
        lengths = np.array([len(end) for _, end in sequences], np.int32)
        slots = np.arange(-(-lengths.max() // 64) * 64, dtype=np.int32)
        ends = (starts, lengths, slots)
        key = id(items)
        if key not in known:
            known[key] = score(params, ids, ends)
        shapes.add((*ids.shape, len(slots)))
        return update(state, ids, ends, known[key])

    own = jax.tree.map(jnp.copy, params)
    return (
        step,
        (own, optimizer.init(own)),
        lambda: {"shapes": sorted(f"{a} x {b}, {c} slots" for a, b, c in shapes)},
    )


if __name__ == "__main__":
    main()
