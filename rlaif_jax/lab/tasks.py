"""A task: a question whose right answer, and whose typical mistakes, are known."""

import functools
import re
from collections.abc import Iterator
from random import Random
from typing import Literal, NamedTuple

from rlaif_jax.lab.draws import uniform
from rlaif_jax.lab.families import FAMILIES, pick

Pool = Literal["train", "validation", "test"]

_TEST_SHARE = 0.12  # of all tasks: enough sums for 500 test prompts
_VALIDATION_SHARE = 0.08


class Task(NamedTuple):
    """What is asked, apart from its wording."""

    family: str  # a key of FAMILIES
    arguments: tuple[str, ...]


def answer(task: Task) -> str:
    """The right answer, bare."""
    return FAMILIES[task.family].answer(*task.arguments)


def mistakes(task: Task) -> tuple[str, str]:
    """The two wrong answers that a teacher gives, the likelier one first."""
    likely, rare = FAMILIES[task.family].mistakes
    return likely(*task.arguments), rare(*task.arguments)


def instructions(task: Task) -> tuple[str, ...]:
    """The task in each of its family's phrasings."""
    phrasings = FAMILIES[task.family].phrasings
    return tuple(phrasing.format(*task.arguments) for phrasing in phrasings)


@functools.lru_cache(maxsize=1 << 16)
def parse(instruction: str) -> Task | None:
    """The task that an instruction asks for, or None if it is none of ours."""
    text = instruction.strip()
    for family, order, pattern in _patterns():
        if match := pattern.fullmatch(text):
            arguments = tuple(match.group(order.index(i) + 1) for i in sorted(order))
            return Task(family, arguments)
    return None


def pool(task: Task) -> Pool:
    """Where the task belongs, in every world and with every seed.

    Drawn from the task and not from its text: otherwise a test task would be trained
    on in another phrasing (13 % were, in the prototype).
    """
    family, arguments = task
    if FAMILIES[family].symmetric:
        arguments = tuple(sorted(arguments))
    place = uniform("pool", family, *arguments)
    if place < _TEST_SHARE:
        return "test"
    return "validation" if place < _TEST_SHARE + _VALIDATION_SHARE else "train"


def draw_task(random: Random, family: str, within: Pool) -> Task:
    """A task of the pool whose two mistakes are wrong, and different."""
    while True:
        task = Task(family, FAMILIES[family].draw(random))
        is_well_posed = len({answer(task), *mistakes(task)}) == 3
        if is_well_posed and pool(task) == within:
            return task


def draw_instruction(random: Random, family: str, within: Pool) -> str:
    """A task of the pool in one of its phrasings."""
    texts = instructions(draw_task(random, family, within))
    return texts[int(pick(random, range(len(texts))))]


@functools.cache
def _patterns() -> tuple[tuple[str, list[int], re.Pattern[str]], ...]:
    return tuple(_each_pattern())


def _each_pattern() -> Iterator[tuple[str, list[int], re.Pattern[str]]]:
    """Family, argument numbers in order of appearance, and regex of each phrasing."""
    for name, family in FAMILIES.items():
        for phrasing in family.phrasings:
            literals = re.split(r"\{\d\}", phrasing)
            order = [int(number) for number in re.findall(r"\{(\d)\}", phrasing)]
            source = family.argument.join(map(re.escape, literals))
            yield name, order, re.compile(source)
