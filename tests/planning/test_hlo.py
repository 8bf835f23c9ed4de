"""Tests of `rlaif_jax.planning.hlo`."""

import pytest

from rlaif_jax.errors import InternalError
from rlaif_jax.planning import hlo

# as a TPU's compiler writes it: memory spaces in layouts, JSON over several lines
TEXT = """HloModule jit_step, is_scheduled=true

%twice (p: f32[8,4]) -> f32[8,4] {
  %p = f32[8,4]{1,0:T(8,128)S(1)} parameter(0)
  ROOT %sum = f32[8,4]{1,0:T(8,128)S(1)} add(%p, %p)
}

ENTRY %main (given: (u32[], f32[8,4])) -> (pred[3], f32[8,4]) {
  %given = (u32[]{:T(128)}, f32[8,4]{1,0:T(8,128)S(1)}) parameter(0)
  %five = s32[] constant(5)
  %values = f32[8,4]{1,0:T(8,128)S(1)} get-tuple-element(%given), index=1
  %kernel = bf16[8,4]{1,0:T(8,128)(2,1)} custom-call(%values, %five), backend_config={
"one": {
}}
  %fused = f32[8,4]{1,0} fusion(%values), kind=kLoop, calls=%twice
  %told = pred[3]{0} custom-call(%kernel)
  ROOT %both = (pred[3]{0}, /*index=1*/f32[8,4]{1,0}) tuple(%told, %fused)
}
"""


def test_a_line_becomes_an_instruction():
    program = hlo.parse(TEXT)
    main = program.computations[program.entry]
    kernel = main.by_name["kernel"]
    assert (kernel.opcode, kernel.operands) == ("custom-call", ("values", "five"))
    assert kernel.results == (hlo.ArrayType(8 * 4 * 2, 0),)
    assert main.by_name["given"].results == (
        hlo.ArrayType(4, 0),
        hlo.ArrayType(8 * 4 * 4, 1),
    )
    assert main.root.results == (hlo.ArrayType(3, 0), hlo.ArrayType(8 * 4 * 4, 0))
    assert main.root.operands == ("told", "fused")
    assert hlo.constant(main.by_name["five"]) == 5
    assert hlo.constant(kernel) is None
    assert main.by_name["values"].required("index") == "1"


def test_a_fusion_has_instructions_inside():
    program = hlo.parse(TEXT)
    main = program.computations[program.entry]
    inner = program.inside(main.by_name["fused"])
    assert inner is not None and inner.root.name == "sum"
    assert program.inside(main.by_name["kernel"]) is None


def test_what_is_missing_is_told():
    main = hlo.parse(TEXT).computations["main"]
    with pytest.raises(InternalError, match="kernel has no body"):
        main.by_name["kernel"].required("body")


def test_a_text_without_an_entry_is_no_program():
    with pytest.raises(InternalError, match="entry"):
        hlo.parse("HloModule nothing\n")
