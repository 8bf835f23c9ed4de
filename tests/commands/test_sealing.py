"""Tests of where the blocks of an input end."""

from types import SimpleNamespace

import pytest

from rlaif_jax.commands.sealing import Work, block_ends
from rlaif_jax.config import LabelConfig
from rlaif_jax.records import Comparison, Completion, Message, Prompt


def compared(number, times=1):
    message = Message(role="user", content=f"question {number}")
    prompt = Prompt.create((message,), source="test")
    sides = [
        Completion.create(prompt.prompt_id, text, generator=text)
        for text in ("one", "two")
    ]
    return [Comparison.create(prompt, *sides)] * times


def config(size, others=()):
    """Only what cutting reads: a whole config would need files."""
    return LabelConfig.model_construct(comparisons_per_shard=size, others=others)


@pytest.mark.parametrize(
    ("number", "size", "ends"),
    [(7, 3, [3, 6, 7]), (6, 3, [3, 6]), (2, 5, [2]), (0, 5, [])],
)
def test_every_block_but_the_last_is_full(number, size, ends):
    comparisons = [one for n in range(number) for one in compared(n)]
    assert block_ends(comparisons, config(size)) == ends


def test_a_prompt_of_several_comparisons_stays_in_one_block(tmp_path):
    # three comparisons of each prompt: a block of 4 ends after the second prompt
    comparisons = [one for n in range(5) for one in compared(n, times=3)]
    assert block_ends(comparisons, config(4, others=(tmp_path,))) == [6, 12, 15]
    assert block_ends(comparisons, config(4)) == [4, 8, 12, 15]


def test_work_goes_on_where_the_seals_end():
    comparisons = [one for n in range(7) for one in compared(n)]
    sealed = SimpleNamespace(blocks=0)
    work = Work(comparisons, [3, 6, 7], lambda: sealed.blocks)
    assert (work.start, work.block(0)) == (0, comparisons[:3])
    sealed.blocks = 2
    assert (work.start, work.block(2)) == (6, comparisons[6:])
