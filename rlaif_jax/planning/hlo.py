"""Reads the text of a compiled program: how often each instruction runs, and on what.

XLA's own `cost_analysis` counts the body of a loop once, and a model's layers are a
loop. Here an instruction counts as often as it runs.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from rlaif_jax.errors import InternalError

_BITS = re.compile(r"^(?:[a-z]+?)(\d+)")
_COMPUTATION = re.compile(r"^(ENTRY )?%(\S+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%(\S+) = (.*)$")
_OPCODE = re.compile(r" ([a-z][a-z0-9\-]*)\(")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](?:\{([^{}]*)\})?")
_OPERAND = re.compile(r"%([\w.\-]+)")
_SPACE = re.compile(r"S\((\d+)\)")


class ArrayType(NamedTuple):
    """An array of a program.

    Attributes:
      num_bytes: Without the padding of its layout.
      space: Of the memory that it lies in; 0 is the device's main one.
    """

    num_bytes: int
    space: int


@dataclass(frozen=True)
class Instruction:
    """One line of a program.

    Attributes:
      name: Of its result.
      opcode: As `fusion` or `all-gather`.
      results: The arrays that it makes.
      operands: Names of the instructions whose results it reads.
      text: All that stands behind the opcode.
      is_root: Whether its result is that of its computation.
    """

    name: str
    opcode: str
    results: tuple[ArrayType, ...]
    operands: tuple[str, ...]
    text: str
    is_root: bool

    def attribute(self, name: str) -> str | None:
        """What stands behind `name=`: a computation's or a constant's name."""
        found = re.search(rf"\b{name}=%?([\w.\-]+)", self.text)
        return found and found.group(1)


@dataclass(frozen=True)
class Computation:
    """Instructions in their order."""

    name: str
    instructions: tuple[Instruction, ...]

    @cached_property
    def by_name(self) -> dict[str, Instruction]:
        """Each instruction by its name."""
        return {one.name: one for one in self.instructions}

    @property
    def root(self) -> Instruction:
        """The one whose result is the computation's."""
        return next(one for one in self.instructions if one.is_root)


class Executed(NamedTuple):
    """An instruction outside of fusions, and how often a device runs it.

    Attributes:
      computation: Where it stands.
      times: In one run of the program; of a loop with an early end, the most.
    """

    instruction: Instruction
    computation: Computation
    times: int


@dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      computations: By name.
      entry: The name of the one that runs.
    """

    computations: dict[str, Computation]
    entry: str

    def executed(self) -> Iterator[Executed]:
        """All instructions outside of fusions, in order, bodies after their loop."""
        return self._run(self.computations[self.entry], 1)

    def inside(self, instruction: Instruction) -> Computation | None:
        """The computation that a fusion runs."""
        called = instruction.attribute("calls")
        return self.computations[called] if called else None

    def _run(self, computation: Computation, times: int) -> Iterator[Executed]:
        for one in computation.instructions:
            here = Executed(one, computation, times)
            yield here
            if one.opcode == "while":
                body = self.computations[_required(one, "body")]
                yield from self._run(body, times * self._trips(here, body))
            elif one.opcode in ("call", "conditional", "async-start"):
                for called in self._called(one):
                    yield from self._run(called, times)

    def _called(self, one: Instruction) -> list[Computation]:
        """The computations of a call, or all branches: which is taken is not known."""
        listed = re.search(r"branch_computations=\{([^}]*)\}", one.text)
        if listed:
            names = _OPERAND.findall(listed.group(1))
        else:
            keys = ("to_apply", "calls", "true_computation", "false_computation")
            found = (one.attribute(key) for key in keys)
            names = [name for name in found if name]
        return [self.computations[name] for name in names]

    def _trips(self, loop: Executed, body: Computation) -> int:
        """How often the body of a loop runs, at most.

        Raises:
          InternalError: If its condition compares no counter with a constant.
        """
        one = loop.instruction
        known = re.search(r'known_trip_count":\{"n":"(\d+)"', one.text)
        if known:
            return int(known.group(1))
        condition = self.computations[_required(one, "condition")]
        for nested in condition.instructions:
            counter = self._counter(nested, condition)
            if counter is not None:
                start = _start(loop, counter.index)
                return math.ceil(
                    (counter.bound - start) / _increment(body, counter.index)
                )
        raise InternalError(
            f"the loop {one.name} has a condition that compares no counter with a"
            " constant: please report this"
        )

    def _counter(self, one: Instruction, within: Computation) -> "_Counter | None":
        """What an instruction of a condition says of a counter, if it does."""
        if one.opcode == "fusion":
            inner = self.inside(one)
            assert inner is not None  # a fusion calls something
            for nested in inner.instructions:
                found = _compared(nested, inner)
                if found is not None and found[0].opcode == "parameter":
                    number = int(found[0].text.split(")")[0])
                    state = within.by_name[one.operands[number]]
                    return _Counter(_state_index(state), found[1])
            return None
        found = _compared(one, within)
        return None if found is None else _Counter(_state_index(found[0]), found[1])


class _Counter(NamedTuple):
    """A number in the state of a loop, which goes on while that is below a bound."""

    index: int
    bound: int


def parse(text: str) -> Program:
    """A program from what `compiled.as_text()` gives.

    Raises:
      InternalError: If that has no entry.
    """
    computations: dict[str, Computation] = {}
    entry, name, lines = "", "", []
    for line in text.splitlines():
        if start := _COMPUTATION.match(line):
            name, lines = start.group(2), []
            entry = name if start.group(1) else entry
        elif line == "}" and name:  # kernels may have lines of JSON that begin so
            computations[name] = Computation(name, tuple(map(_instruction, lines)))
            name = ""
        elif name and _INSTRUCTION.match(line):
            lines.append(line)
    if not entry:
        raise InternalError("a compiled program without an entry: please report this")
    return Program(computations, entry)


def _instruction(line: str) -> Instruction:
    found = _INSTRUCTION.match(line)
    assert found is not None  # `parse` has looked
    is_root, name, rest = found.groups()
    end = _type_end(rest)
    opcode = _OPCODE.match(rest[end:])
    assert opcode is not None, line
    behind = rest[end + opcode.end() :]
    closing = _closing(behind)
    return Instruction(
        name=name,
        opcode=opcode.group(1),
        results=tuple(_arrays(rest[:end])),
        operands=tuple(_OPERAND.findall(behind[:closing])),
        text=behind,
        is_root=bool(is_root),
    )


def _type_end(text: str) -> int:
    """Where the type that a text begins with ends."""
    if not text.startswith("("):
        return text.index(" ")
    return 1 + _closing(text[1:]) + 1


def _closing(text: str) -> int:
    """The parenthesis that closes one before the text."""
    depth = 1
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place
    return len(text)


def _arrays(text: str) -> Iterator[ArrayType]:
    """The arrays of a type, which may be a tuple."""
    for dtype, sizes, layout in _ARRAY.findall(text):
        number = math.prod(int(size) for size in sizes.split(",") if size)
        bits = _BITS.match(dtype)  # pred and tokens have none
        space = _SPACE.search(layout)
        yield ArrayType(
            number * (int(bits.group(1)) if bits else 8) // 8,
            int(space.group(1)) if space else 0,
        )


def _required(one: Instruction, name: str) -> str:
    value = one.attribute(name)
    assert value is not None, f"{one.name} has no {name}"
    return value


def _compared(one: Instruction, within: Computation) -> tuple[Instruction, int] | None:
    """What a comparison with a constant says must stay below it."""
    if one.opcode != "compare" or "direction=LT" not in one.text:
        return None
    left, right = (within.by_name[name] for name in one.operands)
    bound = _constant(right)
    if bound is None:
        return None
    while left.opcode == "add":
        terms = [within.by_name[name] for name in left.operands]
        constants = [term for term in terms if _constant(term) is not None]
        if len(constants) != 1:
            return None
        bound -= _constant(constants[0]) or 0
        left = next(term for term in terms if term is not constants[0])
    return left, bound


def _start(loop: Executed, index: int) -> int:
    """Where a counter starts; 0, which is the most turns, if that is computed."""
    by_name = loop.computation.by_name
    state = by_name[loop.instruction.operands[0]]
    if state.opcode != "tuple":
        return 0
    first = by_name[state.operands[index]]
    while first.opcode in ("copy", "bitcast"):
        first = by_name[first.operands[0]]
    return _constant(first) or 0


def _state_index(counter: Instruction) -> int:
    """The place of a counter in the state of its loop."""
    index = counter.attribute("index")
    assert index is not None, counter.name
    return int(index)


def _increment(body: Computation, index: int) -> int:
    """By how much a trip raises a counter."""
    after = body.by_name[body.root.operands[index]]
    while after.opcode in ("copy", "bitcast"):
        after = body.by_name[after.operands[0]]
    if after.opcode != "add":
        return 1
    found = (_constant(body.by_name[name]) for name in after.operands)
    return next((value for value in found if value), 1)


def _constant(one: Instruction) -> int | None:
    """The value of an integer constant."""
    if one.opcode != "constant":
        return None
    found = re.match(r"(-?\d+)\)", one.text)
    return int(found.group(1)) if found else None
