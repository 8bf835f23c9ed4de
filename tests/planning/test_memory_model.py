"""Tests of `rlaif_jax.planning.memory_model` against what XLA allots on CPUs."""

import math

import jax
import pytest

from rlaif_jax.commands.workload import Assumed, Workload
from rlaif_jax.config_file import validate
from rlaif_jax.config_training import DpoConfig, SftConfig
from rlaif_jax.models.llama import LLAMA_2_7B
from rlaif_jax.models.mistral import MIXTRAL_8X7B
from rlaif_jax.models.registry import PRESETS
from rlaif_jax.planning.memory_model import MemoryModel, StepMemory
from rlaif_jax.sharding.mesh import build_mesh

_SMALL = {"num_layers": 6, "max_positions": 4096}
DENSE = {"embed": 128, "kv_heads": 4, "q_groups": 1, "head_dim": 32, "ffw": 352}
WIDE = {"embed": 512, "kv_heads": 4, "q_groups": 2, "head_dim": 64, "ffw": 1408}
MIXED = {"embed": 128, "kv_heads": 2, "q_groups": 2, "head_dim": 32, "ffw": 256}
MODELS = {
    # of the first and third, activations are the most; of the others, weights
    "dense": LLAMA_2_7B.replace(vocab_size=512, **_SMALL, **DENSE),
    "dense, wide": LLAMA_2_7B.replace(vocab_size=2048, **_SMALL, **WIDE),
    "mixture": MIXTRAL_8X7B.replace(vocab_size=512, num_experts=4, **_SMALL, **MIXED),
    "mixture, wide": MIXTRAL_8X7B.replace(
        vocab_size=512,
        num_experts=4,
        **_SMALL,
        **MIXED | {"embed": 256, "head_dim": 64, "ffw": 512},
    ),
}
FSDP, BOTH = {"fsdp": 8}, {"fsdp": 4, "tensor": 2}
FULL, NONE, ATTENTION = "full", "none", "attention"
CASES = [  # model, verb, layout, remat, mesh, batch, more of the optimizer
    ("dense", "sft", "packed", FULL, {}, 16),
    ("dense", "sft", "packed", NONE, {}, 16),
    ("dense", "sft", "packed", "dots", {}, 16),
    ("dense", "dpo", "padded", ATTENTION, {}, 32),
    ("dense", "dpo", "padded", NONE, {}, 32),
    ("dense", "dpo", "packed", FULL, FSDP, 256),
    ("dense", "dpo", "padded", NONE, BOTH, 128),
    ("dense, wide", "sft", "packed", FULL, {}, 8),
    ("dense, wide", "sft", "packed", NONE, FSDP, 8),
    ("dense, wide", "sft", "packed", FULL, BOTH, 8),
    ("mixture", "dpo", "padded", FULL, {}, 16),
    ("mixture", "dpo", "packed", FULL, BOTH, 64),
    ("mixture, wide", "sft", "packed", NONE, {}, 8),
    ("mixture, wide", "sft", "packed", FULL, FSDP, 8),
    ("dense, wide", "sft", "packed", FULL, {}, 8, {"moments": "int8"}),
    ("dense, wide", "sft", "packed", FULL, {}, 8, {"weights": "bfloat16"}),
]


def workload(case) -> Workload:
    """What a small run computes on, on a mesh that is JAX's current one."""
    model, verb, layout, remat, _, batch, *more = case
    document = {
        "model": {"path": "nowhere", "remat": remat, "attention": "xla"},
        "optimizer": {"name": "rmsprop", "learning_rate": 1e-6} | dict(*more),
        "tokens": {"max_prompt_tokens": 32, "max_completion_tokens": 32},
        "rows": {"layout": layout},
        "batch_size": batch,
    }
    if verb == "sft":
        config = validate(SftConfig, document | {"prompts": "p", "completions": "c"})
    else:
        config = validate(DpoConfig, document | {"preferences": "p"})
    mesh = jax.sharding.get_mesh()
    return Workload.of(config, Assumed(model, "float32", 32, 32, None), mesh)


def estimated(work: Workload) -> list[StepMemory]:
    """What the model says of its steps."""
    model = MemoryModel(
        config=work.model,
        weights=work.weights,
        rows=work.batch[0],
        mesh=work.mesh.shape,
        platform="cpu",
    )
    found = [model.train(work.layout.abstract, work.parts, work.frozen)]
    return [*found, model.reference()] if work.has_reference else found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_model_is_within_a_tenth_of_what_xla_allots(case, monkeypatch):
    for name, config in MODELS.items():
        monkeypatch.setitem(PRESETS, name, config)
    axes = case[4]
    devices = jax.devices()[: math.prod(axes.values())]
    mesh = build_mesh(
        validate(SftConfig.model_fields["mesh"].annotation, axes), devices
    )
    with jax.set_mesh(mesh):
        work = workload(case)
        for step, said in zip(work.steps(), estimated(work), strict=True):
            memory = step.lowered.compile().memory_analysis()
            results = memory.output_size_in_bytes - memory.alias_size_in_bytes
            given, temporary = (
                memory.argument_size_in_bytes,
                memory.temp_size_in_bytes,
            )
            # arguments that nothing reads are not there: places of slots
            assert 0 <= said.argument_bytes - given < 0.02 * given
            total = given + temporary + results
            assert said.total == pytest.approx(total, rel=0.1), step.demand.name
