"""Tasks: phrasing and parsing, pools."""

from random import Random

import pytest

from rlaif_jax.lab.families import FAMILIES
from rlaif_jax.lab.tasks import (
    Task,
    answer,
    draw_instruction,
    draw_task,
    instructions,
    mistakes,
    parse,
    pool,
)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_phrasing_is_parsed_back_to_its_task(family):
    random = Random(family)
    for _ in range(100):
        task = draw_task(random, family, "train")
        assert [parse(text) for text in instructions(task)] == [task] * len(
            FAMILIES[family].phrasings
        )


def test_arguments_are_parsed_in_their_own_order():
    assert parse("Subtract 5 from 22") == Task("sub", ("22", "5"))
    assert parse("22 minus 5") == Task("sub", ("22", "5"))


def test_spaces_around_an_instruction_do_not_matter():
    assert parse(" Reverse bado\n") == Task("reverse", ("bado",))


@pytest.mark.parametrize(
    "text", ["", "Reverse", "Reverse BADO", "Reverse bado please", "Add 1 and", "é"]
)
def test_anything_else_is_no_task(text):
    assert parse(text) is None


def test_no_instruction_is_ambiguous():
    phrasings = [p for family in FAMILIES.values() for p in family.phrasings]
    assert len(set(phrasings)) == len(phrasings)


def test_answer_and_mistakes_come_from_the_family():
    task = Task("add", ("17", "5"))
    assert answer(task) == "22"
    assert mistakes(task) == ("23", "32")


@pytest.mark.parametrize("within", ["train", "validation", "test"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_drawn_task_is_well_posed_and_of_its_pool(family, within):
    random = Random(3)
    for _ in range(30):
        task = draw_task(random, family, within)
        assert pool(task) == within
        assert len({answer(task), *mistakes(task)}) == 3


def test_swapping_a_symmetric_task_keeps_its_pool():
    for a in range(1, 30):
        swapped = Task("larger", ("31", str(a)))
        assert pool(Task("larger", (str(a), "31"))) == pool(swapped)


def test_the_pools_have_their_shares():
    random = Random(4)
    tasks = [Task("sort", FAMILIES["sort"].draw(random)) for _ in range(3000)]
    pools = [pool(task) for task in tasks]
    # standard errors: sqrt(.12 * .88 / 3000) = .0059, sqrt(.08 * .92 / 3000) = .0050
    assert pools.count("test") / 3000 == pytest.approx(0.12, abs=0.024)
    assert pools.count("validation") / 3000 == pytest.approx(0.08, abs=0.020)


def test_every_phrasing_of_a_family_is_drawn():
    random = Random(5)
    texts = [draw_instruction(random, "copy", "train") for _ in range(60)]
    assert {text.split()[0] for text in texts} == {"Copy", "Write", "Echo"}
