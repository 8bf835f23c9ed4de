"""One process of a pod that trains on a folder of preferences; see test_pod.py."""

import sys
from pathlib import Path

import jax

from rlaif_jax.config_losses import DpoLossConfig
from rlaif_jax.config_parts import (
    AdamWConfig,
    CheckpointConfig,
    GuardConfig,
    MeshConfig,
    RowsConfig,
)
from rlaif_jax.config_validation import ValidationConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Pair
from rlaif_jax.errors import PreemptedError
from rlaif_jax.models import TransformerConfig, logical_axes
from rlaif_jax.models.transformer import init_params
from rlaif_jax.runtime import distributed
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import param_shardings
from rlaif_jax.training.batches import own_rows
from rlaif_jax.training.dpo import DpoObjective, PairEncoding, train_dpo
from rlaif_jax.training.plan import Session, StartModel, TrainingPlan, ValidationSet
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.streaming import preference_source

CONFIG = TransformerConfig(
    family="llama",
    vocab_size=32,
    embed=16,
    num_layers=1,
    kv_heads=1,
    q_groups=2,
    head_dim=8,
    ffw=16,
    max_positions=32,
    rope_theta=10000.0,
    norm_eps=1e-5,
    eos_token_id=1,
)


def to_pair(preference):
    chosen = len(preference.chosen[0].content)
    rejected = len(preference.rejected[0].content)
    return Pair([4, 5 + chosen], [2] * chosen, [3] * rejected)


def main(preferences: Path, out: Path, stop_at: int) -> None:
    distributed.start()
    mesh = build_mesh(MeshConfig())

    def load():
        shardings = param_shardings(logical_axes(CONFIG), mesh)
        make = jax.jit(lambda key: init_params(CONFIG, key), out_shardings=shardings)
        return make(jax.random.key(0))

    source = preference_source(preferences, wait_s=0.0)
    objective = DpoObjective(CONFIG, PreferenceLoss(DpoLossConfig(beta=0.1)))
    validation = ValidationSet(
        records=source.rows(0)[:7],  # which four devices cannot share evenly
        loss_fn=objective,
        config=ValidationConfig(every_steps=2),
        select="loss",
        data={},
    )
    try:
        train_dpo(
            StartModel(config=CONFIG, tokenizer_dir=Path("none"), load=load),
            source,
            encoding=PairEncoding(
                to_pair=to_pair,
                layout=build_layout(
                    RowsConfig(),
                    length=16,
                    num_devices=jax.device_count(),
                    own=own_rows,
                ),
                reference_dir=out / "reference",
            ),
            objective=objective,
            plan=TrainingPlan(
                optimizer=AdamWConfig(learning_rate=0.02),
                batch_size=8,
                epochs=2,
                max_steps=None,
                seed=0,
                checkpoint=CheckpointConfig(every_steps=2, keep=2),
                microbatches=1,
                guard=GuardConfig(),
                validation=validation,
            ),
            session=Session(
                out=out,
                mesh=mesh,
                progress=lambda step, total, metrics: None,
                stop=lambda step: step == stop_at,
            ),
        )
    except PreemptedError as error:
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
