"""One row of a data set: a conversation up to the user's turn, and what followed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from rlaif_jax.data.splits import HELD_OUT
from rlaif_jax.errors import UsageError
from rlaif_jax.records import Message, Role

_SPLITS = {  # words of names to the held-out splits that they mean
    **{name: name for name in HELD_OUT},
    **dict.fromkeys(("eval", "dev", "val", "valid"), "validation"),
}
ROLES: frozenset[str] = frozenset(get_args(Role))


class Rivals(NamedTuple):
    """Two answers to one prompt, of which somebody preferred the first."""

    chosen: str
    rejected: str
    chosen_generator: str
    rejected_generator: str
    judge: str  # who preferred it
    p_chosen: float = 1.0
    cost_usd: float = 0.0


class Exchange(NamedTuple):
    """What a source says in one row, or why the row cannot be used."""

    messages: tuple[Message, ...] = ()  # ends with the user's turn
    answer: str | None = None  # what the source itself holds as the completion
    split: str = "train"
    prompt_id: str | None = None  # where the source already gave one
    source: str | None = None  # likewise
    dropped: str | None = None  # reason, in words_with_underscores
    generator: str | None = None  # who wrote the answer; the source's format else
    rivals: tuple[Rivals, ...] = ()  # judged pairs of answers
    undecided: int = 0  # judged pairs in which nobody won
    num_rows: int = 1  # rows that say this; in no hash, so it stays the last field


def kept_split(name: str) -> str:
    """`test` and `validation` of a data set stay so; all else may be drawn from.

    Args:
      name: As data sets call it, with what follows: `test_prefs`, `test[:10%]`.
        `eval`, `dev`, `val` and `valid` are `validation`.

    Raises:
      UsageError: If it mixes a held-out split with another, as `all` does.
    """
    kept = {_held_out(words_of(part)) for part in name.split("+")}
    if len(kept) > 1 or words_of(name) == ["all"]:
        raise UsageError(
            f"split {name!r} mixes a held-out split with another: read each as a"
            " source of its own, source.split=train and also=[{..., split: test}]"
        )
    return kept.pop()


def file_split(stem: str) -> str:
    """`test` and `validation` by the first word of a file's name, else `train`."""
    return _held_out(words_of(stem)[:1])


def words_of(name: str) -> list[str]:
    """The words of a split's or a file's name, in lower case."""
    return re.findall("[a-z]+", name.lower())


def _held_out(words: Sequence[str]) -> str:
    """The held-out split that one of the words stands for, or `train`."""
    return next((_SPLITS[word] for word in words if word in _SPLITS), "train")


def user_turn(text: str) -> tuple[Message, ...]:
    """A conversation in which the user speaks once."""
    return (Message(role="user", content=text),)


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: half a surrogate pair cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def messages_of(value: Any) -> tuple[Message, ...]:
    """The messages of a cell: text is one user turn, a list is a conversation.

    Turns after the user's last one are what a model answered, and are left out. TFDS
    gives bytes for text, and a mapping of lists for a list of mappings.

    Args:
      value: `str`, `bytes`, a list of {role, content}, or a mapping of two lists.

    Returns:
      Messages that end with the user's turn; none if the user says nothing.

    Raises:
      ValueError: If it is none of these; the message says what it is.
    """
    if isinstance(value, str | bytes):
        return user_turn(_text(value))
    turns = list(turns_of(value))
    while turns and turns[-1].role != "user":
        turns.pop()
    return tuple(turns)


def turns_of(value: Any) -> tuple[Message, ...]:
    """Every message of a cell that holds a conversation.

    Args:
      value: A list of {role, content}, or a mapping of two lists.

    Raises:
      ValueError: If it is neither; the message says what it is.
    """
    return tuple(_message(turn) for turn in _turns(value))


def _turns(value: Any) -> Sequence[Any]:
    """The turns of a conversation, whichever way its table is turned."""
    if isinstance(value, Mapping):
        roles, contents = value.get("role"), value.get("content")
        if roles is None or contents is None or len(roles) != len(contents):
            raise ValueError(f"a conversation needs role and content: {list(value)}")
        pairs = zip(roles, contents, strict=True)
        return [{"role": role, "content": content} for role, content in pairs]
    if isinstance(value, Sequence):
        return value
    raise ValueError(f"{type(value).__name__} is neither text nor a conversation")


def _message(turn: Any) -> Message:
    """One checked turn."""
    if not isinstance(turn, Mapping) or not {"role", "content"} <= turn.keys():
        raise ValueError(f"a turn needs role and content: {turn!r:.80}")
    role = _text(turn["role"])
    if role not in ROLES:
        raise ValueError(f"role {role!r} is not one of {sorted(ROLES)}")
    return Message.model_validate({"role": role, "content": _text(turn["content"])})


def _text(value: Any) -> str:
    """Text, decoded if it came as bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} where text was expected")
    return value
