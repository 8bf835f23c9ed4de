"""Tests of `rlaif_jax.planning.traffic`."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import InternalError
from rlaif_jax.planning import hlo
from rlaif_jax.planning.traffic import collectives
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
    (gather,) = collectives(program, 8)
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
    (reduce,) = collectives(program, 8)
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
    sent = sum(one.total for one in collectives(program, 8))
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
    (gather,) = collectives(hlo.parse(text), 16)
    assert (gather.group, gather.sent) == (8, 64 * 2 * 7 // 8)


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        # an operand, its result; 4 bytes a number
        ("(f32[8]{0}, f32[64]{0}) all-gather-start(%x), replica_groups={}", 224),
        ("(f32[8]{0}, f32[8]{0}) all-reduce-start(%x, %x), replica_groups={}", 112),
        ("f32[1]{0} reduce-scatter(%x), replica_groups={{0,1,2,3,4,5,6,7}}", 28),
        ("f32[8]{0} all-to-all(%x), replica_groups=[2,4]<=[8]", 24),
        ("(f32[8]{0}, f32[8]{0}) collective-permute-start(%x)", 32),
    ],
)
def test_every_kind_sends_its_share(line, sent):
    text = f"""HloModule one

ENTRY %main (x: f32[8]) -> f32[8] {{
  %x = f32[8]{{0}} parameter(0)
  ROOT %y = {line}, channel_id=1
}}
"""
    (found,) = collectives(hlo.parse(text), 8)
    assert found.sent == sent


def test_a_group_that_cannot_be_read_is_not_guessed():
    text = """HloModule one

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  ROOT %y = f32[8]{0} all-reduce(%x), replica_groups=@everyone
}
"""
    with pytest.raises(InternalError, match="y exchanges"):
        collectives(hlo.parse(text), 8)
