"""The kinds of task in the embedded world, one line of a table each."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

VOWELS = "aeiou"
CONSONANTS = "bcdfghjklmnpqrstvwxyz"

_WORD = "([a-z]{1,32})"
_NUMBER = "([0-9]{1,9})"


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of task: how it is asked, its truth, and how one gets it wrong."""

    phrasings: tuple[str, ...]  # {0}, {1}: the arguments
    draw: Callable[[Random], tuple[str, ...]]  # arguments of a new task
    answer: Callable[..., str]
    mistakes: tuple[Callable[..., str], Callable[..., str]]  # the likelier one first
    argument: str = _WORD  # what an argument looks like, one regex group
    symmetric: bool = False  # swapped arguments are the same task


def pick(random: Random, options: str | range) -> str:
    """One of the options, evenly, from a single `random.random()`.

    Only `random()` is promised to give the same numbers in every Python version.
    """
    return str(options[int(random.random() * len(options))])


def draw_word(random: Random, lengths: range = range(3, 6)) -> tuple[str]:
    """A word of distinct letters in which vowels and consonants alternate."""
    length = int(pick(random, lengths))
    starts_with_vowel = int(pick(random, range(2)))
    letters = ""
    for position in range(length):
        is_vowel = (position + starts_with_vowel) % 2 == 1
        alphabet = VOWELS if is_vowel else CONSONANTS
        letters += pick(random, "".join(c for c in alphabet if c not in letters))
    return (letters,)


def _draw_sum(random: Random) -> tuple[str, str]:
    return pick(random, range(1, 21)), pick(random, range(1, 10))


def _draw_difference(random: Random) -> tuple[str, str]:
    rest, taken = _draw_sum(random)  # the same number facts, read backwards
    return str(int(rest) + int(taken)), taken


def _draw_unequal(random: Random) -> tuple[str, str]:
    smaller = int(pick(random, range(1, 99)))
    larger = int(pick(random, range(smaller + 1, 100)))
    pair = (str(smaller), str(larger))
    return pair if random.random() < 0.5 else (pair[1], pair[0])


def _larger(a: str, b: str) -> int:
    return max(int(a), int(b))


def _keep(word: str, alphabet: str) -> str:
    return "".join(letter for letter in word if letter in alphabet)


FAMILIES: dict[str, Family] = {
    "upper": Family(
        phrasings=("Uppercase {0}", "Write {0} in capitals", "Make {0} uppercase"),
        draw=draw_word,
        answer=str.upper,
        mistakes=(str.capitalize, str),
    ),
    "first": Family(
        phrasings=("First letter of {0}", "What letter starts {0}", "Start of {0}"),
        draw=draw_word,
        answer=lambda word: word[0],
        mistakes=(lambda word: word[-1], lambda word: word[1:2]),
    ),
    "last": Family(
        phrasings=("Last letter of {0}", "What letter ends {0}", "End of {0}"),
        draw=draw_word,
        answer=lambda word: word[-1],
        mistakes=(lambda word: word[0], lambda word: word[-2:-1]),
    ),
    "reverse": Family(
        phrasings=("Reverse {0}", "Write {0} backwards", "Turn {0} around"),
        draw=draw_word,
        answer=lambda word: word[::-1],
        mistakes=(str, lambda word: word[1:] + word[:1]),
    ),
    "repeat": Family(
        phrasings=("Repeat {0} twice", "Write {0} two times", "Copy {0} twice"),
        draw=lambda random: draw_word(random, range(3, 4)),
        answer=lambda word: word * 2,
        mistakes=(str, lambda word: (word * 2)[:-1]),
    ),
    "sort": Family(
        phrasings=(
            "Sort the letters of {0}",
            "Put {0} in alphabetical order",
            "Order the letters of {0}",
        ),
        draw=draw_word,
        answer=lambda word: "".join(sorted(word)),
        mistakes=(str, lambda word: "".join(sorted(word, reverse=True))),
    ),
    "add": Family(
        phrasings=(
            "What is {0} + {1}?",
            "Add {0} and {1}",
            "{0} plus {1}",
            "Sum of {0} and {1}",
        ),
        draw=_draw_sum,
        answer=lambda a, b: str(int(a) + int(b)),
        mistakes=(
            lambda a, b: str(int(a) + int(b) + 1),
            lambda a, b: str(int(a) + int(b) + 10),
        ),
        argument=_NUMBER,
        symmetric=True,
    ),
    "sub": Family(
        phrasings=(
            "What is {0} - {1}?",
            "Subtract {1} from {0}",
            "{0} minus {1}",
            "Take {1} from {0}",
        ),
        draw=_draw_difference,
        answer=lambda a, b: str(int(a) - int(b)),
        mistakes=(
            lambda a, b: str(int(a) - int(b) + 1),
            lambda a, b: str(int(a) + int(b)),
        ),
        argument=_NUMBER,
    ),
    "larger": Family(
        phrasings=(
            "Larger number, {0} or {1}?",
            "Larger of {0} and {1}",
            "Maximum of {0} and {1}",
        ),
        draw=_draw_unequal,
        answer=lambda a, b: str(_larger(a, b)),
        mistakes=(
            lambda a, b: str(min(int(a), int(b))),
            lambda a, b: str(_larger(a, b) + 1),
        ),
        argument=_NUMBER,
        symmetric=True,
    ),
    "vowels": Family(
        phrasings=("Vowels of {0}", "Keep the vowels of {0}", "Only vowels of {0}"),
        draw=draw_word,
        answer=lambda word: _keep(word, VOWELS),
        mistakes=(lambda word: _keep(word, CONSONANTS), str),
    ),
    "copy": Family(
        phrasings=("Copy {0}", "Write {0} as it is", "Echo {0}"),
        draw=draw_word,
        answer=str,
        mistakes=(lambda word: word[:-1], lambda word: word + word[-1]),
    ),
    "ends": Family(
        phrasings=("Ends of {0}", "Edges of {0}", "Outer letters of {0}"),
        draw=draw_word,
        answer=lambda word: word[0] + word[-1],
        mistakes=(lambda word: word[:2], lambda word: word[-1] + word[0]),
    ),
}
