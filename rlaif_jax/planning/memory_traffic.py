"""What a compiled program reads from and writes to a device's main memory."""

from rlaif_jax.planning.hlo import Computation, Instruction, Program
from rlaif_jax.planning.loops import Executed, executed

_MAIN = 0  # memory space
# What makes no array, or only another name for one.
_FREE = frozenset(
    {
        "parameter",
        "constant",
        "tuple",
        "get-tuple-element",
        "bitcast",
        "while",
        "call",
        "conditional",
        "after-all",
        "partition-id",
        "replica-id",
        "iota",
    }
)
_SLICES = ("slice", "dynamic-slice", "slice-start")


def memory_bytes(program: Program) -> int:
    """Bytes that a device moves in one run.

    What lies in a faster memory, as layouts say, is not counted. Of an array that only
    slices are read or written of, the slices are; any other counts whole.

    Raises:
      InternalError: If it cannot be told how often a loop runs.
    """
    return sum(_moved(one, program) * one.times for one in executed(program))


def _moved(one: Executed, program: Program) -> int:
    """Bytes of one run of an instruction."""
    instruction, within = one.instruction, one.computation
    if instruction.opcode in _FREE or instruction.opcode.endswith("-done"):
        return 0
    read = 0
    for number, name in enumerate(instruction.operands):
        made = within.by_name.get(name)
        if made is not None and (whole := _main_bytes(made)):
            read += min(whole, _read(instruction, number, whole, program))
    return read + _written(instruction, within, program)


def _read(one: Instruction, number: int, whole: int, program: Program) -> int:
    """How much of an operand in the main memory an instruction reads."""
    if one.opcode in _SLICES:
        return _slice_bytes(one) if number == 0 else whole
    if one.opcode == "gather":
        return _bytes(one) if number == 0 else whole
    if one.opcode == "dynamic-update-slice":
        return 0 if number == 0 else whole
    inner = program.inside(one) if one.opcode == "fusion" else None
    if inner is None:
        return whole
    return _read_inside(inner, _parameter(inner, number), whole, program)


def _read_inside(
    inner: Computation, value: Instruction | None, whole: int, program: Program
) -> int:
    """How much of a fusion's parameter its instructions read."""
    if value is None:
        return whole
    total = 0
    for user in inner.instructions:
        if value.name not in user.operands:
            continue
        if user.opcode == "tuple" and user.is_root:  # handed on as it is
            continue
        if user.opcode in ("bitcast", "reshape"):
            total += _read_inside(inner, user, whole, program)
        else:
            total += _read(user, user.operands.index(value.name), whole, program)
    return min(whole, total)


def _written(one: Instruction, within: Computation, program: Program) -> int:
    """Bytes of the results that go to the main memory."""
    if one.opcode == "dynamic-update-slice":
        return _update_bytes(one, within) if _main_bytes(one) else 0
    if one.opcode.endswith("-start"):
        return _started_bytes(one)
    inner = program.inside(one) if one.opcode == "fusion" else None
    if inner is None:
        return _main_bytes(one)
    root = inner.root
    parts = [inner.by_name[name] for name in root.operands]
    if root.opcode != "tuple" or len(parts) != len(one.results):
        return _made(root, inner, _main_bytes(one))
    return sum(
        _made(part, inner, array.num_bytes if array.space == _MAIN else 0)
        for part, array in zip(parts, one.results, strict=True)
    )


def _made(one: Instruction, inner: Computation, size: int) -> int:
    """How much of a fusion's result is new: nothing of what it only hands on."""
    while one.opcode in ("bitcast", "get-tuple-element"):
        one = inner.by_name[one.operands[0]]
    if one.opcode == "parameter":
        return 0
    if one.opcode == "dynamic-update-slice":
        return min(size, _update_bytes(one, inner))
    return size


def _update_bytes(one: Instruction, within: Computation) -> int:
    """What is written into a larger array."""
    return _bytes(within.by_name[one.operands[1]])


def _slice_bytes(one: Instruction) -> int:
    """What is cut out; a start has its operand among its results, too."""
    if one.opcode.endswith("-start"):
        return one.results[1].num_bytes
    return _bytes(one)


def _started_bytes(one: Instruction) -> int:
    """What a copy, slice or exchange that is begun will have written."""
    first = 0 if one.opcode in ("copy-start", "all-reduce-start") else len(one.operands)
    last = first + len(one.operands)
    made = one.results[first:last]
    return sum(array.num_bytes for array in made if array.space == _MAIN)


def _parameter(inner: Computation, number: int) -> Instruction | None:
    """The parameter of that number."""
    return next(
        (
            one
            for one in inner.instructions
            if one.opcode == "parameter" and one.text.startswith(f"{number})")
        ),
        None,
    )


def _bytes(one: Instruction) -> int:
    return sum(array.num_bytes for array in one.results)


def _main_bytes(one: Instruction) -> int:
    """Of an instruction's results, those in the device's main memory."""
    return sum(array.num_bytes for array in one.results if array.space == _MAIN)
