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


def fused(exchange, *calls):
    """A program with a fusion for each pair of what it calls and its own name."""
    text = "HloModule fused\n"
    main = "ENTRY %main (x: bf16[8]) -> bf16[64] {\n  %x = bf16[8]{0} parameter(0)\n"
    for called, name in calls:
        root = "ROOT " if (called, name) == calls[-1] else ""
        text += f"""
%{called} (p: bf16[8]) -> bf16[64] {{
  %p = bf16[8]{{0}} parameter(0)
  ROOT %{called}.part = bf16[64]{{0}} {exchange}(%p), channel_id=3,{GROUP}
}}
"""
        main += f"  {root}%{name} = bf16[64]{{0}} fusion(%x), calls=%{called}\n"
    return hlo.parse(text + "\n" + main + "}\n")


GROUP = " replica_groups=mesh['a'=8,'b'=2] {'a'}"


def test_one_exchange_in_several_fusions_counts_where_it_begins():
    program = fused(
        "all-gather",
        ("fused_computation.1", "async-collective-start.1"),
        ("async_collective_fusion.2", "fusion.2"),
        ("fused_computation.3", "async-collective-done.1"),
    )
    (gather,) = collectives(program, 16)
    assert (gather.group, gather.sent) == (8, 64 * 2 * 7 // 8)


def test_exchanges_that_share_a_channel_all_count():
    program = fused("all-gather", ("first", "fusion.1"), ("second", "fusion.2"))
    found = collectives(program, 16)
    assert [one.sent for one in found] == [64 * 2 * 7 // 8] * 2


def test_a_sum_of_which_a_part_is_kept_is_sent_once():
    program = fused("all-reduce", ("all-reduce-scatter.4.clone.1", "fusion.557"))
    (found,) = collectives(program, 16)
    assert (found.kind, found.whole) == ("reduce-scatter", 0)
    assert found.sent == 64 * 2 * 7 // 8


def test_groups_of_reordered_devices_are_read():
    line = (
        "f32[8]{0} all-reduce(%x), replica_groups=mesh['a'=1,'b'=4,'c'=16],"
        " device_ids=([16,4]T(1,0)) {'a','b'}"
    )
    (found,) = collectives(hlo.parse(ONE.replace("{line}", line)), 64)
    assert (found.group, found.sent) == (4, 2 * 32 * 3 // 4)


ONE = """HloModule one

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  ROOT %y = {line}, channel_id=1
}
"""


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
    (found,) = collectives(hlo.parse(ONE.replace("{line}", line)), 8)
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


@pytest.mark.parametrize(
    ("kind", "target", "sent"),
    [
        ("ALL_REDUCE", '"{1,2}x{0:15}"', 32),
        ("ALL_REDUCE", '"{1,2,3,4}x{0:15}"', 48),
        ("ALL_GATHER", '"{1,2,3,4}x{0:15}"', 96),
        ("ONE_TO_ONE", "{{100009->200000},{100013->200005}}", 32),
    ],
)
def test_what_is_handed_to_hosts_goes_to_other_slices(kind, target, sent):
    line = (
        "(f32[8]{0}, u32[], token[]) send(%x), is_host_transfer=true,"
        f" frontend_attributes={{_xla_megascale_target={target},"
        f'_xla_megascale_transfer_type="{kind}"}}'
    )
    (found,) = collectives(hlo.parse(ONE.replace("{line}", line)), 64)
    assert (found.kind, found.sent) == (kind, sent)
    assert found.is_between_slices


def test_what_goes_elsewhere_is_not_guessed():
    line = "(f32[8]{0}, u32[], token[]) send(%x), is_host_transfer=true"
    with pytest.raises(InternalError, match="what y sends"):
        collectives(hlo.parse(ONE.replace("{line}", line)), 64)
