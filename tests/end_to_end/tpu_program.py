"""Compiles the real train steps for a TPU slice that is not there: run as a process.

    python tpu_program.py TOPOLOGY PRESET CHANGES_JSON LOSS ROWS TOKENS

Prints one JSON object: bytes a chip, what the state is made of, and seconds.
"""

import json
import os
import sys
import time

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["TPU_SKIP_MDS_QUERY"] = "1"  # do not ask a cloud's metadata server
os.environ["TPU_WORKER_HOSTNAMES"] = "localhost"
os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # nobody's TPU is touched

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec

from rlaif_jax.config_losses import DpoLossConfig
from rlaif_jax.config_parts import GuardConfig, MeshConfig, RmspropConfig
from rlaif_jax.data.packing import PackedRows
from rlaif_jax.models.registry import preset
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.sharding.mesh import BATCH_AXES, build_mesh
from rlaif_jax.training.dpo import DpoObjective, PairBatch
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.state import StateLayout


def rows(shape, num_items, sharding, *, shares_prompts):
    """Packed rows whose every other token is of a completion."""
    num_rows, num_tokens = shape

    def array(*shape):
        return jax.ShapeDtypeStruct(shape, np.int32, sharding=sharding)

    tokens, slots = array(num_rows, num_tokens), array(num_rows, num_tokens // 2)
    return PackedRows(
        token_ids=tokens,
        positions=tokens,
        segment_ids=tokens,
        branches=tokens if shares_prompts else None,
        sources=slots,
        places=slots,
        targets=slots,
        sequences=slots,
        lengths=array(num_items, 1 + shares_prompts),
    )


def main(topology, name, changes, loss, num_rows, num_tokens):
    mesh = build_mesh(
        MeshConfig(),
        topologies.get_topology_desc(platform="tpu", topology_name=topology).devices,
    )
    sharding = NamedSharding(mesh, PartitionSpec(BATCH_AXES))
    usual = {"compute_dtype": "bfloat16", "remat": "full"}
    config = preset(name).replace(**usual | json.loads(changes))
    optimizer = build_optimizer(RmspropConfig(learning_rate=5e-7), 100)
    size = (int(num_rows), int(num_tokens))
    if loss == "sft":
        objective = sft_objective(config, "sequence_sum")
        batch = rows(size, size[0], sharding, shares_prompts=False)
    else:
        objective = DpoObjective(config, PreferenceLoss(DpoLossConfig()))
        packed = rows(size, size[0], sharding, shares_prompts=True)
        logps = jax.ShapeDtypeStruct(
            packed.sources.shape, np.float32, sharding=sharding
        )
        batch = PairBatch(packed, logps)
    layout = StateLayout.create(config, optimizer, mesh)
    started = time.monotonic()
    with jax.set_mesh(mesh):
        step = layout.compile(objective, GuardConfig())
        compiled = step.lower(layout.abstract, [batch], {}).compile()
    memory = compiled.memory_analysis()
    state = jax.tree.leaves(layout.abstract)
    text = compiled.as_text()
    names = ("all-gather", "reduce-scatter", "all-reduce")
    found = {n: text.count(f" {n}(") + text.count(f" {n}-start(") for n in names}
    report = {
        "kernels": text.count('custom_call_target="tpu_custom_call"'),
        "chips": mesh.size,
        "state_bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in state),
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "aliased_bytes": memory.alias_size_in_bytes,
        "host_bytes": memory.host_temp_size_in_bytes,
        "collectives": found,
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
