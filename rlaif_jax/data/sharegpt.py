"""ShareGPT: conversations that users had with an assistant and made public."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import Exchange, is_unicode
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_json_list
from rlaif_jax.records import Message

GENERATOR = "sharegpt"
_MARKERS = ("<s>", "</s>", "<|endoftext|>")  # tokenizers would read them as tokens
_SPEAKERS = ("human", "gpt")  # turns of any other are ignored


def read_sharegpt(source: SourceConfig) -> Iterator[Exchange]:
    """The first exchange of each conversation.

    A longer chat keeps its first turn. Dropped are `special_token_text` (a turn
    holds a marker such as `</s>`), `assistant_first` and `no_human_turn`. The answer
    is the assistant's turn right after the human's; where the human speaks twice the
    prompt stands without one, as the reply answers both.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If it is not ShareGPT's format; names the conversation.
    """
    path = Path(source.path)
    for index, item in enumerate(read_json_list(path, "ShareGPT file")):
        try:
            turns = _checked_turns(item.get("conversations"))
        except ValueError as error:
            raise CorruptDataError(f"{path}: conversation {index}: {error}") from error
        yield _first_exchange(turns)


def _checked_turns(value: Any) -> list[tuple[str, str]]:
    """Speaker and text of each turn."""
    if not isinstance(value, list):
        raise ValueError(f"'conversations' is {type(value).__name__}, not a list")
    turns = []
    for turn in value:
        if not isinstance(turn, dict):
            raise ValueError(f"a turn is {type(turn).__name__}, not an object")
        speaker, text = turn.get("from"), turn.get("value")
        if not isinstance(speaker, str) or not isinstance(text, str):
            raise ValueError("a turn needs 'from' and 'value', both text")
        turns.append((speaker, text))
    return turns


def _first_exchange(turns: list[tuple[str, str]]) -> Exchange:
    """What the human first asked and the assistant answered, or why not."""
    if any(marker in text for _, text in turns for marker in _MARKERS):
        return Exchange(dropped="special_token_text")
    heard = [turn for turn in turns if turn[0] in _SPEAKERS]
    if not heard:
        return Exchange(dropped="no_human_turn")
    if heard[0][0] != "human":
        return Exchange(dropped="assistant_first")
    messages = (Message(role="user", content=heard[0][1]),)
    answered = len(heard) > 1 and heard[1][0] == "gpt"
    answer = heard[1][1] if answered else None
    if answer is not None and not (answer.strip() and is_unicode(answer)):
        answer = None
    return Exchange(messages, answer=answer)
