"""Our arms: what `sft` and `dpo` do between ids and a line of metrics.

    python benchmarks/train_arms/ours.py FOLDER TASK SHAPE PART ARM

The clock counts packing, reading the reference's cache, placing, the step with its
metrics, and the lines that are written.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from race import BETA, CLIP, RATE, Clock, Race, race_from_arguments, tell, warm_up

from rlaif_jax.checkpoint import import_hf
from rlaif_jax.config_losses import DpoLossConfig
from rlaif_jax.config_parts import (
    AdamWConfig,
    GuardConfig,
    MeshConfig,
    RowsConfig,
    TokensConfig,
)
from rlaif_jax.data.layout import Layout, build_layout, row_tokens
from rlaif_jax.data.packing import Example, Pair, fill
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import place_batch
from rlaif_jax.training.batches import place_rows
from rlaif_jax.training.dpo import DpoObjective, PairBatch
from rlaif_jax.training.logp_store import LogpStore
from rlaif_jax.training.loop import Callbacks, Limits, fit
from rlaif_jax.training.metrics import MetricsLog
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.reference import ReferenceLogps
from rlaif_jax.training.scoring import completion_token_logps
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.state import StateLayout

GUARD = GuardConfig()
ARMS = {  # to layout and attention
    "packed": ("packed", "blocks"),
    "packed, dense attention": ("packed", "xla"),
    "padded": ("padded", "xla"),
}


def main(race: Race) -> None:
    """Trains one part of the epoch."""
    mesh = build_mesh(MeshConfig(), jax.devices()[:1])
    with jax.set_mesh(mesh), tempfile.TemporaryDirectory() as out:
        config, params = import_hf(race.folder / "model")
        config = config.replace(attention=ARMS[race.arm][1])
        run(race, mesh, Path(out), (config, params))


def run(
    race: Race, mesh: Any, out: Path, model: tuple[TransformerConfig, Params]
) -> None:
    """The run, on a mesh."""
    config, params = model
    batches, lay_out = race.batches, layout(race)
    make = Pair if race.task == "dpo" else Example
    reference = reference_logps(config, params, out) if race.task == "dpo" else None

    def load(items: list[Any]) -> Any:
        pairs = [make(*item) for item in items]
        rows = lay_out(pairs)
        placed = place_rows(rows, mesh)
        if reference is None:
            return placed
        return PairBatch(placed, place_batch(reference.of(pairs, rows, placed), mesh))

    states = StateLayout.create(
        config,
        build_optimizer(AdamWConfig(learning_rate=RATE, max_grad_norm=CLIP), None),
        mesh,
    )
    step = partial(states.compile(objective(race, config), GUARD), frozen={})
    losses: list[float] = []

    def train(found: list[Any]) -> None:
        losses.clear()
        with MetricsLog(out, step=0, batch_size=len(found[0])) as log:

            def report(number: int, metrics: dict[str, float]) -> None:
                losses.append(metrics["loss"])
                log.report(number, metrics)

            fit(
                states.fresh(params),
                ([load(items)] for items in found),
                step_fn=step,
                callbacks=Callbacks(report),
                limits=Limits(None, GUARD.max_in_a_row),
            )

    clock = Clock()
    rows = [lay_out([make(*item) for item in items]) for items in batches]
    clock.lap("packing")
    for items in batches:
        load(items)
    clock.lap("reference")
    shapes = {
        id(items): (row.token_ids.shape, row.sources.shape[1])
        for items, row in zip(batches, rows, strict=True)
    }
    train(warm_up(batches, lambda items: shapes[id(items)]))
    clock.lap("compile")
    train(batches)
    clock.lap("train")
    tell(
        race,
        clock,
        losses,
        text_fraction=round(float(np.mean([fill(row) for row in rows])), 3),
        shapes=sorted(f"{a[0]} x {a[1]}, {b} slots" for a, b in set(shapes.values())),
    )


def layout(race: Race) -> Layout:
    """How the run lays out its items: as by default, or one full item in a row."""
    batches = race.batches
    limits = [
        max(len(part) for batch in batches for item in batch for part in item[i:j])
        for i, j in ((0, 1), (1, 3))
    ]
    alone = limits[0] + (len(batches[0][0]) - 1) * limits[1]
    is_packed = ARMS[race.arm][0] == "packed"
    rows = RowsConfig(
        layout=ARMS[race.arm][0],
        length=alone if is_packed and race.shape == "full" else None,
    )
    length = row_tokens(
        rows,
        TokensConfig(max_prompt_tokens=limits[0], max_completion_tokens=limits[1]),
        num_completions=len(batches[0][0]) - 1,
        items_a_device=float(len(batches[0])),
    )
    return build_layout(rows, length=length)


def objective(race: Race, config: TransformerConfig) -> Any:
    """What is descended, with all of its metrics."""
    if race.task == "sft":
        return sft_objective(config, "token_mean")
    return DpoObjective(config, PreferenceLoss(DpoLossConfig(beta=BETA)))


def reference_logps(
    config: TransformerConfig, params: Params, out: Path
) -> ReferenceLogps:
    """The start model's log-probabilities, kept in a file as in a run."""
    score = jax.jit(partial(completion_token_logps, config))
    store = partial(LogpStore, out / "reference", identity="start", writer="race")
    return ReferenceLogps(store, lambda placed: score(params, placed))


if __name__ == "__main__":
    main(race_from_arguments())
