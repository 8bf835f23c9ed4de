"""The files of a world."""

import collections
import json

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.files import file_sha256, read_records
from rlaif_jax.lab.families import FAMILIES
from rlaif_jax.lab.scoring import has_style, score
from rlaif_jax.lab.tasks import parse, pool
from rlaif_jax.lab.variants import VARIANTS
from rlaif_jax.lab.world import WorldSizes, draw_corpus, draw_prompts, write_world
from rlaif_jax.records import Completion, Prompt

SIZES = WorldSizes(
    train_prompts=600,
    validation_prompts=60,
    test_prompts=120,
    corpus_documents=1500,
    corpus_seeds=(0, 7),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, sizes=SIZES)
    return folder


def _hashes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def _prompts(folder):
    return list(read_records(folder / "prompts.jsonl", Prompt))


def test_a_world_is_these_files(world):
    assert set(_hashes(world)) == {
        "prompts.jsonl",
        "pretraining/0/prompts.jsonl",
        "pretraining/0/completions.jsonl",
        "pretraining/7/prompts.jsonl",
        "pretraining/7/completions.jsonl",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "world.json",
    }


def test_the_same_seed_gives_the_same_bytes_and_another_other_prompts(world, tmp_path):
    write_world(tmp_path / "same", sizes=SIZES)
    assert _hashes(tmp_path / "same") == _hashes(world)
    write_world(tmp_path / "other", sizes=SIZES, seed=1)
    other = _hashes(tmp_path / "other")
    assert other["prompts.jsonl"] != _hashes(world)["prompts.jsonl"]
    corpus = "pretraining/0/completions.jsonl"
    assert other[corpus] == _hashes(world)[corpus]  # its seed is its folder's name


def test_splits_have_their_sizes_and_no_text_twice(world):
    prompts = _prompts(world)
    splits = collections.Counter(prompt.split for prompt in prompts)
    assert splits == {"train": 600, "validation": 60, "test": 120}
    assert len({prompt.messages for prompt in prompts}) == len(prompts)


def test_families_share_a_split_evenly(world):
    tests = [p for p in _prompts(world) if p.split == "test"]
    families = collections.Counter(parse(p.messages[-1].content).family for p in tests)
    assert families == dict.fromkeys(FAMILIES, 10)


def test_no_task_of_one_split_is_in_another_or_in_a_corpus(world):
    tasks = collections.defaultdict(set)
    for prompt in _prompts(world):
        tasks[prompt.split].add(parse(prompt.messages[-1].content))
    for seed in SIZES.corpus_seeds:
        path = world / f"pretraining/{seed}/prompts.jsonl"
        for prompt in read_records(path, Prompt):
            tasks["train"].add(parse(prompt.messages[-1].content))
    assert tasks["train"].isdisjoint(tasks["test"])
    assert tasks["train"].isdisjoint(tasks["validation"])
    assert tasks["validation"].isdisjoint(tasks["test"])


def test_no_train_task_of_one_seed_is_a_test_task_of_another():
    train = {p.messages[-1].content for p in draw_prompts("train", 500, seed=3)}
    assert {pool(parse(text)) for text in train} == {"train"}


def test_the_corpus_is_right_and_in_style_as_often_as_the_variant_says(world):
    folder = world / "pretraining/0"
    prompts = list(read_records(folder / "prompts.jsonl", Prompt))
    completions = list(read_records(folder / "completions.jsonl", Completion))
    assert len({c.completion_id for c in completions}) == len(completions) == 1500
    rows = score(prompts, completions)
    # four standard errors: 4 * sqrt(.25 / 1500) = .052
    assert sum(r.accuracy for r in rows) / 1500 == pytest.approx(0.5, abs=0.052)
    assert sum(r.style for r in rows) / 1500 == pytest.approx(0.3, abs=0.052)


def test_corpora_of_two_seeds_differ():
    first = draw_corpus(VARIANTS["default"], 50, seed=0)
    assert first != draw_corpus(VARIANTS["default"], 50, seed=1)
    assert {has_style(document.text) for document in first} == {True, False}


def test_world_json_says_what_the_world_was_made_from(world):
    document = json.loads((world / "world.json").read_text())
    assert document["variant"] == "default"
    assert document["numbers"]["strong_skill"] == 0.95
    assert document["sizes"]["corpus_seeds"] == [0, 7]


def test_more_prompts_than_there_are_is_refused(monkeypatch):
    few = {"add": FAMILIES["add"]}
    monkeypatch.setattr("rlaif_jax.lab.world.FAMILIES", few)
    with pytest.raises(UsageError, match="the lab has only"):
        draw_prompts("test", 500, seed=0)


def test_an_unknown_variant_writes_nothing(tmp_path):
    with pytest.raises(UsageError, match="no lab variant"):
        write_world(tmp_path / "w", variant="hard", sizes=SIZES)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("bad", [{"test_prompts": 0}, {"corpus_seeds": ()}])
def test_sizes_below_one_are_refused(bad):
    with pytest.raises(UsageError, match="at least 1"):
        WorldSizes(**bad)
