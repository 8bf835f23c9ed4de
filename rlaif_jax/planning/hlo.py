"""The text of a compiled program as objects."""

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
        """What stands behind `name=`: a computation's name, or a number."""
        found = re.search(rf"\b{name}=%?([\w.\-]+)", self.text)
        return found and found.group(1)

    def required(self, name: str) -> str:
        """The same, of what it must have.

        Raises:
          InternalError: If it has none.
        """
        value = self.attribute(name)
        if value is None:
            raise InternalError(f"{self.name} has no {name}: please report this")
        return value


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


@dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      computations: By name.
      entry: The name of the one that runs.
    """

    computations: dict[str, Computation]
    entry: str

    def inside(self, instruction: Instruction) -> Computation | None:
        """The computation that a fusion runs."""
        called = instruction.attribute("calls")
        return self.computations[called] if called else None

    def called(self, one: Instruction) -> list[Computation]:
        """The computations of a call, or all branches: which is taken is not known."""
        listed = re.search(r"branch_computations=\{([^}]*)\}", one.text)
        if listed:
            names = _OPERAND.findall(listed.group(1))
        else:
            keys = ("to_apply", "calls", "true_computation", "false_computation")
            found = (one.attribute(key) for key in keys)
            names = [name for name in found if name]
        return [self.computations[name] for name in names]


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


def constant(one: Instruction) -> int | None:
    """The value of an integer constant."""
    if one.opcode != "constant":
        return None
    found = re.match(r"(-?\d+)\)", one.text)
    return int(found.group(1)) if found else None
