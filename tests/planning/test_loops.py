"""Tests of `rlaif_jax.planning.loops`."""

import jax
import jax.numpy as jnp
import pytest

from rlaif_jax.errors import InternalError
from rlaif_jax.planning import hlo
from rlaif_jax.planning.loops import executed

# as a TPU's compiler writes it: no trip count, steps of two, JSON over several lines
TEXT = """HloModule jit_step, is_scheduled=true

%sum (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %add.0 = f32[] add(%x, %y)
}

%below (state: (u32[], f32[8,4])) -> pred[] {
  %state = (u32[]{:T(128)}, f32[8,4]{1,0:T(8,128)S(1)}) parameter(0)
  %most = u32[]{:T(128)} constant(10)
  %at = u32[]{:T(128)} get-tuple-element(%state), index=0
  ROOT %is_below = pred[]{:T(512)} compare(%at, %most), direction=LT
}

%body (state.1: (u32[], f32[8,4])) -> (u32[], f32[8,4]) {
  %state.1 = (u32[]{:T(128)}, f32[8,4]{1,0:T(8,128)S(1)}) parameter(0)
  %two = u32[]{:T(128)} constant(2)
  %at.1 = u32[]{:T(128)} get-tuple-element(%state.1), index=0
  %next = u32[]{:T(128)} add(%at.1, %two)
  %values = f32[8,4]{1,0:T(8,128)S(1)} get-tuple-element(%state.1), index=1
  %kernel = f32[8,4]{1,0:T(8,128)S(1)} custom-call(%values), backend_config={"config":
"one": {
}}
  ROOT %both = (u32[]{:T(128)}, f32[8,4]{1,0:T(8,128)S(1)}) tuple(%next, %kernel)
}

ENTRY %main (first: (u32[], f32[8,4])) -> (u32[], f32[8,4]) {
  %first = (u32[]{:T(128)}, f32[8,4]{1,0}) parameter(0)
  ROOT %loop = (u32[], f32[8,4]{1,0}) while(%first), condition=%below, body=%body
}
"""


def times(program, opcode):
    """How often instructions run, by their place in the program."""
    return [one.times for one in executed(program) if one.instruction.opcode == opcode]


def test_a_body_counts_as_often_as_its_loop_runs():
    program = hlo.parse(TEXT)
    assert times(program, "while") == [1]
    assert times(program, "custom-call") == [5]  # 0, 2, 4, 6, 8


def test_a_loop_with_an_early_end_runs_at_most_to_its_bound():
    early = TEXT.replace(
        "ROOT %is_below = pred[]{:T(512)} compare(%at, %most), direction=LT",
        "%is_below = pred[] compare(%at, %most), direction=LT\n"
        "  %has_work = pred[] constant(true)\n"
        "  ROOT %goes_on = pred[] and(%is_below, %has_work)",
    )
    assert times(hlo.parse(early), "custom-call") == [5]


def test_a_counter_may_be_raised_before_it_is_compared():
    later = TEXT.replace(
        "ROOT %is_below = pred[]{:T(512)} compare(%at, %most), direction=LT",
        "%three = u32[]{:T(128)} constant(3)\n"
        "  %ahead = u32[]{:T(128)} add(%at, %three)\n"
        "  ROOT %is_below = pred[] compare(%ahead, %most), direction=LT",
    )
    assert times(hlo.parse(later), "custom-call") == [4]  # 0, 2, 4, 6


def test_a_counter_may_start_anywhere():
    late = TEXT.replace(
        "  %first = (u32[]{:T(128)}, f32[8,4]{1,0}) parameter(0)\n",
        "  %whole = f32[8,4]{1,0} parameter(0)\n"
        "  %four = u32[]{:T(128)} constant(4)\n"
        "  %from = u32[]{:T(128)} copy(%four)\n"
        "  %first = (u32[]{:T(128)}, f32[8,4]{1,0}) tuple(%from, %whole)\n",
    )
    assert times(hlo.parse(late), "custom-call") == [3]  # 4, 6, 8


def test_a_loop_that_nothing_bounds_is_not_counted_as_one():
    endless = TEXT.replace("direction=LT", "direction=NE")
    with pytest.raises(InternalError, match="loop"):
        list(executed(hlo.parse(endless)))


def test_a_turn_of_unknown_size_is_not_taken_for_one():
    other = TEXT.replace(
        "%next = u32[]{:T(128)} add(%at.1, %two)",
        "%next = u32[]{:T(128)} multiply(%at.1, %two)",
    )
    with pytest.raises(InternalError, match="next"):
        list(executed(hlo.parse(other)))


def test_loops_inside_loops_multiply_in_what_xla_compiles():
    def inner(x, _):
        return jnp.sin(x @ x), None

    def outer(x, _):
        return jax.lax.scan(inner, x, None, length=3)[0], None

    compiled = (
        jax.jit(lambda x: jax.lax.scan(outer, x, None, length=5)[0])
        .lower(jnp.ones((32, 32)))
        .compile()
    )
    program = hlo.parse(compiled.as_text())
    assert sorted(times(program, "while")) == [1, 5]
    fused = [
        one.times
        for one in executed(program)
        if (body := program.inside(one.instruction))
        and any(nested.opcode == "dot" for nested in body.instructions)
    ]
    assert times(program, "dot") + fused == [15]
