"""The tokenizer, through transformers' own loader."""

from random import Random

import pytest

from rlaif_jax.files import file_sha256
from rlaif_jax.lab.families import FAMILIES
from rlaif_jax.lab.scoring import sentence
from rlaif_jax.lab.tasks import answer, draw_task, instructions, mistakes
from rlaif_jax.lab.vocabulary import build_tokenizer, word_tokens, write_tokenizer

TEMPLATES = ("Human: {}\n\nAssistant: ", "Q: {}\nA: ")
MAX_PROMPT_TOKENS = 12
MAX_COMPLETION_TOKENS = 12  # with the end token


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def _tasks(family):
    random = Random(family)
    return [
        draw_task(random, family, within)
        for within in ("train", "validation", "test")
        for _ in range(60)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_text_of_the_world_survives_the_round_trip(tokenizer, family):
    for task in _tasks(family):
        prompts = [t.format(text) for text in instructions(task) for t in TEMPLATES]
        bare = (answer(task), *mistakes(task))
        for text in (*prompts, *bare, *map(sentence, bare)):
            assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("family", FAMILIES)
def test_no_text_of_the_world_is_longer_than_promised(tokenizer, family):
    for task in _tasks(family):
        for text in instructions(task):
            for template in TEMPLATES:
                ids = tokenizer.encode(template.format(text))
                assert len(ids) <= MAX_PROMPT_TOKENS
        for bare in (answer(task), *mistakes(task)):
            assert len(tokenizer.encode(sentence(bare))) + 1 <= MAX_COMPLETION_TOKENS


@pytest.mark.parametrize("family", FAMILIES)
def test_an_argument_is_single_characters_and_the_rest_are_words(tokenizer, family):
    # a word followed by a space is one token before an argument and another before a
    # word: a phrasing that mixes them up would fall apart into characters
    for task in _tasks(family)[:20]:
        for text in instructions(task):
            tokens = tokenizer.tokenize(text)
            characters = [t for t in tokens if len(t) == 1 and t != "?"]
            in_order = sorted(task.arguments, key=text.index)
            if len(set(in_order)) == len(in_order):
                assert sorted(characters) == sorted("".join(in_order))


def test_special_tokens_are_distinct_and_none_is_put_at_the_start(tokenizer):
    special = {
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
        tokenizer.unk_token_id,
    }
    assert special == {0, 1, 2}
    assert tokenizer.bos_token_id is None
    assert special.isdisjoint(tokenizer.encode("Reverse bado"))


def test_unknown_characters_become_the_unknown_token(tokenizer):
    ids = tokenizer.encode("é日\U0001f600")
    assert ids == [tokenizer.unk_token_id] * 3


def test_the_vocabulary_is_small(tokenizer):
    assert len(tokenizer) == build_tokenizer().get_vocab_size() <= 140
    assert all(len(word) > 1 for word in word_tokens())


def test_the_folder_has_the_same_bytes_each_time(folder, tmp_path):
    write_tokenizer(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert file_sha256(folder / name) == file_sha256(tmp_path / name)
