"""How often each instruction of a compiled program runs.

XLA's own `cost_analysis` counts the body of a loop once, and a model's layers are a
loop. Here an instruction counts as often as it runs.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from rlaif_jax.errors import InternalError
from rlaif_jax.planning.hlo import Computation, Instruction, Program, constant


class Executed(NamedTuple):
    """An instruction outside of fusions, and how often a device runs it.

    Attributes:
      computation: Where it stands.
      times: In one run of the program; of a loop with an early end, the most.
    """

    instruction: Instruction
    computation: Computation
    times: int


class _Counter(NamedTuple):
    """A number in the state of a loop, which goes on while that is below a bound."""

    place: int
    bound: int


def executed(program: Program) -> Iterator[Executed]:
    """All instructions outside of fusions, in order, bodies after their loop.

    Of a branch, every way counts: which is taken is not known.

    Raises:
      InternalError: If it cannot be told how often a loop runs.
    """
    return _run(program, program.computations[program.entry], 1)


def _run(program: Program, computation: Computation, times: int) -> Iterator[Executed]:
    for one in computation.instructions:
        here = Executed(one, computation, times)
        yield here
        if one.opcode == "while":
            body = program.computations[one.required("body")]
            yield from _run(program, body, times * _trips(program, here, body))
        elif one.opcode in ("call", "conditional", "async-start"):
            for called in program.called(one):
                yield from _run(program, called, times)


def _trips(program: Program, loop: Executed, body: Computation) -> int:
    """How often the body of a loop runs, at most."""
    one = loop.instruction
    known = re.search(r'known_trip_count":\{"n":"(\d+)"', one.text)
    if known:
        return int(known.group(1))
    condition = program.computations[one.required("condition")]
    for nested in condition.instructions:
        counter = _counter(program, nested, condition)
        if counter is not None:
            turns = (counter.bound - _start(loop, counter.place)) / _increment(
                program, body, counter.place
            )
            return max(0, math.ceil(turns))
    raise _unknown(one, "compares no counter with a constant")


def _counter(
    program: Program, one: Instruction, within: Computation
) -> _Counter | None:
    """What an instruction of a condition says of a counter, if it does."""
    if one.opcode != "fusion":
        found = _compared(one, within)
        if found is None or found[0].opcode != "get-tuple-element":
            return None
        return _Counter(int(found[0].required("index")), found[1])
    inner = program.inside(one)
    for nested in inner.instructions if inner else ():
        found = _compared(nested, inner) if inner else None
        if found is not None and found[0].opcode == "parameter":
            number = int(found[0].text.split(")")[0])
            state = within.by_name[one.operands[number]]
            return _Counter(int(state.required("index")), found[1])
    return None


def _compared(one: Instruction, within: Computation) -> tuple[Instruction, int] | None:
    """What a comparison with a constant says must stay below it."""
    if one.opcode != "compare" or "direction=LT" not in one.text:
        return None
    left, right = (within.by_name[name] for name in one.operands)
    bound = constant(right)
    while bound is not None and left.opcode == "add":
        terms = [within.by_name[name] for name in left.operands]
        raised = [
            (constant(term), other)
            for term, other in zip(terms, terms[::-1], strict=True)
        ]
        by, left = next((x for x in raised if x[0] is not None), (None, left))
        bound = None if by is None else bound - by
    return None if bound is None else (left, bound)


def _start(loop: Executed, index: int) -> int:
    """Where a counter starts; 0, which is the most turns, if that is computed."""
    by_name = loop.computation.by_name
    state = by_name[loop.instruction.operands[0]]
    if state.opcode != "tuple":
        return 0
    first = by_name[state.operands[index]]
    while first.opcode in ("copy", "bitcast"):
        first = by_name[first.operands[0]]
    return constant(first) or 0


def _increment(program: Program, body: Computation, index: int) -> int:
    """By how much a turn raises a counter."""
    within, after = body, body.by_name[body.root.operands[index]]
    while after.opcode in ("copy", "bitcast", "fusion"):
        if after.opcode == "fusion":
            inner = program.inside(after)
            assert inner is not None  # a fusion runs something
            within, after = inner, inner.root
        else:
            after = within.by_name[after.operands[0]]
    values = [constant(within.by_name[name]) for name in after.operands]
    found = [value for value in values if value]
    if after.opcode != "add" or len(found) != 1:
        raise _unknown(after, "does not add a constant to a counter")
    return found[0]


def _unknown(one: Instruction, why: str) -> InternalError:
    return InternalError(
        f"how often a loop runs is not known, as {one.name} {why}: please report this"
    )
