"""Tests of `rlaif_jax.commands.comparing`: what `inputs` reads at once, bit by bit."""

import random
import tracemalloc

import pytest

from rlaif_jax.commands import comparing
from rlaif_jax.commands.comparing import read_comparisons
from rlaif_jax.commands.inputs import file_comparisons, is_usable, read_prompts
from rlaif_jax.errors import UsageError
from rlaif_jax.files import write_records
from rlaif_jax.records import Completion, Message, Prompt

FILES = ("one.jsonl", "two.jsonl", "three.jsonl")


@pytest.fixture
def write(tmp_path):
    """Writes prompts of two splits, and three files of completions in other orders."""

    def call(number, *, words=3, unusable=0.3):
        draw = random.Random(0)
        made = [
            Prompt.create(
                (Message(role="user", content=f"question {n}"),),
                source="test",
                split=draw.choice(["sft", "aif"]),
            )
            for n in range(number)
        ]
        write_records(tmp_path / "prompts.jsonl", [*made, made[0]])
        for name in FILES:
            completions = [
                Completion.create(
                    prompt.prompt_id,
                    "" if draw.random() < unusable else f"{name} {time} word " * words,
                    generator=name,
                    finish_reason=draw.choice(["stop", "length"]),
                )
                for prompt in made
                for time in range(2)
            ]
            draw.shuffle(completions)
            write_records(tmp_path / name, completions)
        return tmp_path

    return call


@pytest.mark.parametrize("splits", [(), ("aif",), ("sft", "aif")])
@pytest.mark.parametrize("files", [(0, 1), (0, 0), (0, 1, 2), (1, 0, 1, 2, 2)])
def test_it_is_what_is_read_at_once(write, splits, files):
    folder = write(30)
    paths = tuple(folder / FILES[one] for one in files)
    prompts = read_prompts(folder / "prompts.jsonl", splits)
    whole = file_comparisons(prompts, *paths)
    usable = [one for one in whole if is_usable(one.first) and is_usable(one.second)]
    found = read_comparisons(folder / "prompts.jsonl", splits, paths)
    assert list(found.comparisons) == usable
    assert found.num_unusable == len(whole) - len(usable) > 0
    assert found.splits == {prompt.prompt_id: prompt.split for prompt in prompts}
    number = len(usable)
    assert len(found.comparisons) == number
    assert [found.comparisons[n] for n in reversed(range(number))] == usable[::-1]
    assert list(found.comparisons[3:9]) == usable[3:9]
    assert list(found.comparisons[3:][2:4]) == usable[5:7]
    assert not list(found.comparisons[number:])


def test_only_the_ones_made_last_are_held(write, monkeypatch):
    monkeypatch.setattr(comparing, "_MOST_KEPT", 10)
    held = {}
    for number in (100, 300):
        folder = write(number, words=500, unusable=0.0)
        paths = (folder / FILES[0], folder / FILES[1])
        tracemalloc.start()
        try:
            found = read_comparisons(folder / "prompts.jsonl", (), paths).comparisons
            assert sum(1 for _ in found) == number + 1
            held[number] = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    # two texts of 8,000 bytes and more a comparison are not among it
    assert held[300] - held[100] < 200 * 1000


def test_what_is_lacking_is_told_as_ever(write):
    folder = write(5)
    with pytest.raises(UsageError, match="no prompt of split 'dpo'"):
        read_comparisons(folder / "prompts.jsonl", ("dpo",), (folder / FILES[0],) * 2)
    with pytest.raises(UsageError, match="lacks completion number 3 of 6 of 6 prompts"):
        read_comparisons(folder / "prompts.jsonl", (), (folder / FILES[0],) * 3)
