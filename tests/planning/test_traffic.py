"""Tests of `rlaif_jax.planning.traffic`."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.planning import hlo
from rlaif_jax.planning.traffic import collectives, memory_bytes
from rlaif_jax.sharding.mesh import build_mesh

MIB = 2**20


@pytest.fixture(scope="module")
def mesh():
    return build_mesh(MeshConfig(), jax.devices()[:8])


def compiled(function, mesh, *arguments, out=None):
    """The program of a function of arrays, given as a shape and a spec each."""
    shapes = [
        jax.ShapeDtypeStruct(
            shape, jnp.float32, sharding=NamedSharding(mesh, PartitionSpec(*spec))
        )
        for shape, spec in arguments
    ]
    shardings = None if out is None else NamedSharding(mesh, PartitionSpec(*out))
    jitted = jax.jit(function, out_shardings=shardings)
    return hlo.parse(jitted.lower(*shapes).compile().as_text())


def test_a_gathered_array_is_sent_but_for_ones_own_part(mesh):
    program = compiled(lambda x: x * 2, mesh, ((512, 512), ("fsdp",)), out=())
    (gather,) = collectives(program)
    assert gather.kind == "all-gather"
    assert (gather.group, gather.times) == (8, 1)
    assert gather.sent == MIB * 7 // 8


def test_a_sum_for_all_is_sent_twice(mesh):
    program = compiled(
        lambda x, y: x @ y,
        mesh,
        ((512, 512), (None, "fsdp")),
        ((512, 512), ("fsdp",)),
        out=(),
    )
    (reduce,) = collectives(program)
    assert (reduce.kind, reduce.sent) == ("all-reduce", 2 * MIB * 7 // 8)


def test_what_a_loop_exchanges_counts_in_every_turn(mesh):
    def body(x, kernel):
        x = jnp.tanh(x @ kernel)
        return jax.lax.with_sharding_constraint(
            x, NamedSharding(mesh, PartitionSpec("fsdp"))
        ), None

    program = compiled(
        lambda kernels, x: jax.lax.scan(body, x, kernels)[0],
        mesh,
        ((6, 512, 512), (None, "fsdp")),
        ((64, 512), ("fsdp",)),
        out=("fsdp",),
    )
    sent = sum(one.total for one in collectives(program))
    assert sent == 6 * MIB * 7 // 8


def test_one_exchange_in_several_fusions_counts_once():
    gathered = (
        "all-gather(%p), channel_id=3, dimensions={0},"
        " replica_groups=mesh['a'=8,'b'=2] {'a'}"
    )
    text = f"""HloModule spread

%start (p: bf16[8]) -> bf16[64] {{
  %p = bf16[8]{{0}} parameter(0)
  ROOT %part = bf16[64]{{0}} {gathered}
}}

%rest (p: bf16[8]) -> bf16[64] {{
  %p = bf16[8]{{0}} parameter(0)
  ROOT %part.1 = bf16[64]{{0}} {gathered}
}}

ENTRY %main (x: bf16[8]) -> bf16[64] {{
  %x = bf16[8]{{0}} parameter(0)
  %begun = bf16[64]{{0}} fusion(%x), kind=kCustom, calls=%start
  ROOT %done = bf16[64]{{0}} fusion(%x), kind=kCustom, calls=%rest
}}
"""
    (gather,) = collectives(hlo.parse(text))
    assert (gather.group, gather.sent) == (8, 64 * 2 * 7 // 8)


def test_a_loop_reads_its_own_slice_of_stacked_weights(mesh):
    kernels = jax.ShapeDtypeStruct((16, 512, 512), jnp.float32)
    x = jax.ShapeDtypeStruct((8, 512), jnp.float32)

    def total(kernels, x):
        return jax.lax.scan(lambda x, kernel: (x @ kernel, None), x, kernels)[0]

    program = hlo.parse(jax.jit(total).lower(kernels, x).compile().as_text())
    moved = memory_bytes(program)
    # each kernel is sliced out (read, written) and read; the states are next to nothing
    assert 16 * MIB <= moved <= 3.2 * 16 * MIB


def test_what_lies_in_a_faster_memory_is_not_counted():
    text = """HloModule spaces

ENTRY %main (x: f32[1024]) -> f32[1024] {
  %x = f32[1024]{0} parameter(0)
  %near = (f32[1024]{0:S(1)}, f32[1024]{0}, u32[]{:S(2)}) copy-start(%x)
  %here = f32[1024]{0:S(1)} copy-done(%near)
  %twice = f32[1024]{0:S(1)} add(%here, %here)
  ROOT %out = f32[1024]{0} copy(%twice)
}
"""
    assert memory_bytes(hlo.parse(text)) == 4096 + 4096  # once in, once out
