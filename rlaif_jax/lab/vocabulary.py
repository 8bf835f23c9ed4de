"""The tokenizer of the embedded world, as a Hugging Face folder.

A token is a word of an instruction, a piece of a template, or a single character. No
token is ever merged across an argument's letters, which is what a task is about.
"""

import re
import string
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from rlaif_jax.files import write_atomic, write_json
from rlaif_jax.lab.families import FAMILIES
from rlaif_jax.lab.scoring import sentence

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"

_TEMPLATE_PIECES = ("Human: ", "\n\nAssistant: ", "Q: ", "\nA: ")
_CHARACTERS = string.ascii_letters + string.digits + " \n.,:?-"


def write_tokenizer(folder: Path) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`, always the same bytes."""
    write_atomic(folder / "tokenizer.json", build_tokenizer().to_str(pretty=True))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "eos_token": EOS,
        "unk_token": UNKNOWN,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1 << 20,
    }
    write_json(folder / "tokenizer_config.json", settings)


def build_tokenizer() -> Tokenizer:
    """A tokenizer whose decoding gives back every text it knows the characters of."""
    words = word_tokens()
    tokens = [PAD, EOS, UNKNOWN, *words, *_CHARACTERS]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.add_special_tokens([PAD, EOS, UNKNOWN])
    # longest first: a regex takes the first alternative that fits
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    pattern = "|".join([*map(_bounded, longest_first), r"[\s\S]"])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def word_tokens() -> list[str]:
    """Every token of more than one character, sorted."""
    texts = [text for family in FAMILIES.values() for text in family.phrasings]
    words = {word for text in [*texts, sentence("{0}")] for word in _words(text)}
    return sorted({*words, *_TEMPLATE_PIECES})


def _words(phrasing: str) -> list[str]:
    """The words around a phrasing's arguments.

    A word brings the space before it; the last one before an argument also the space
    after it, so that the argument itself is bare characters.
    """
    words: list[str] = []
    for literal in re.split(r"\{\d\}", phrasing):
        words += re.findall(r" ?[A-Za-z]+[,:]?(?: $)?| [+-] ", literal)
    return words


def _bounded(word: str) -> str:
    """The word's regex, which matches no part of a longer word."""
    before = r"(?<![A-Za-z])" if word[0].isalpha() else ""
    after = r"(?![A-Za-z])" if word[-1].isalpha() else ""
    return before + re.escape(word) + after
