"""Tests of `rlaif_jax.planning.memory_traffic`."""

import jax
import jax.numpy as jnp

from rlaif_jax.planning import hlo
from rlaif_jax.planning.memory_traffic import memory_bytes

MIB = 2**20


def test_a_loop_reads_its_own_slice_of_stacked_weights():
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


def test_slices_that_are_fetched_count_as_slices():
    text = """HloModule slices

ENTRY %main (x: f32[1024]) -> f32[256] {
  %x = f32[1024]{0} parameter(0)
  %first = (f32[1024]{0}, f32[256]{0:S(1)}, u32[]) slice-start(%x), slice={[0:256]}
  %one = f32[256]{0:S(1)} slice-done(%first)
  %second = (f32[1024]{0}, f32[256]{0}, u32[]) slice-start(%x), slice={[256:512]}
  %two = f32[256]{0} slice-done(%second)
  ROOT %out = f32[256]{0:S(1)} add(%one, %two)
}
"""
    # read, read and written, read again
    assert memory_bytes(hlo.parse(text)) == 1024 + 2 * 1024 + 1024


def test_a_layers_slice_inside_of_nested_fusions_counts_as_a_slice():
    text = """HloModule nested

%inner (stack: f32[32,256], at: s32[]) -> f32[1,256] {
  %stack = f32[32,256]{1,0} parameter(0)
  %at = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %layer = f32[1,256]{1,0} dynamic-slice(%stack, %at, %zero)
}

%outer (stack.1: f32[32,256], at.1: s32[]) -> f32[1,256] {
  %stack.1 = f32[32,256]{1,0} parameter(0)
  %at.1 = s32[] parameter(1)
  %same = f32[32,256]{1,0} bitcast(%stack.1)
  %one = f32[1,256]{1,0} fusion(%same, %at.1), kind=kLoop, calls=%inner
  ROOT %twice = f32[1,256]{1,0} add(%one, %one)
}

ENTRY %main (x: f32[32,256], n: s32[]) -> f32[1,256] {
  %x = f32[32,256]{1,0} parameter(0)
  %n = s32[]{:S(6)} parameter(1)
  ROOT %y = f32[1,256]{1,0:S(1)} fusion(%x, %n), kind=kLoop, calls=%outer
}
"""
    assert memory_bytes(hlo.parse(text)) == 1024


def test_what_a_fusion_only_hands_on_is_not_moved():
    text = """HloModule carried

%step (buffer: f32[1024], stack: f32[4,256], new: f32[1,256]) -> (f32[1024]) {
  %buffer = f32[1024]{0} parameter(0)
  %stack = f32[4,256]{1,0} parameter(1)
  %new = f32[1,256]{1,0} parameter(2)
  %zero = s32[] constant(0)
  %kept = f32[4,256]{1,0} dynamic-update-slice(%stack, %new, %zero, %zero)
  ROOT %both = (f32[1024]{0}, f32[4,256]{1,0}) tuple(%buffer, %kept)
}

ENTRY %main (b: f32[1024], s: f32[4,256], n: f32[1,256]) -> (f32[1024], f32[4,256]) {
  %b = f32[1024]{0} parameter(0)
  %s = f32[4,256]{1,0} parameter(1)
  %n = f32[1,256]{1,0:S(1)} parameter(2)
  ROOT %out = (f32[1024]{0}, f32[4,256]{1,0}) fusion(%b, %s, %n), calls=%step
}
"""
    assert memory_bytes(hlo.parse(text)) == 1024  # the row that is written
