"""ShareGPT: conversations that users had with an assistant and made public."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import Exchange, is_unicode, user_turn
from rlaif_jax.data.fractions import leading
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_json_list
from rlaif_jax.records import Message

MARKERS = ("<s>", "</s>", "<|endoftext|>")  # tokenizers would read them as tokens
_SPEAKERS = ("human", "gpt")  # turns of any other are ignored


def read_sharegpt(source: SourceConfig) -> Iterator[Exchange]:
    """The first exchange of each conversation, or what the paper's code makes of it.

    Conversations are dropped as `special_token_text` (a turn holds a marker such as
    `</s>`) and `assistant_first`; the rules add reasons of their own.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If it is not ShareGPT's format; names the conversation.
    """
    path = Path(source.path)
    items = read_json_list(path, "ShareGPT file")
    for index, item in enumerate(leading(items, source.data_fraction)):
        try:
            turns = _checked_turns(item.get("conversations"))
        except ValueError as error:
            raise CorruptDataError(f"{path}: conversation {index}: {error}") from error
        if any(marker in text for _, text in turns for marker in MARKERS):
            yield Exchange(dropped="special_token_text")
        else:
            yield from _RULES[source.rules](turns, source.num_turns)


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


def _first_exchange(turns: list[tuple[str, str]], num_turns: int) -> Iterator[Exchange]:
    """What the human first asked and the assistant answered, or why not.

    A longer chat keeps its first turn. The answer is the assistant's turn right after
    the human's; where the human speaks twice the prompt stands without one, as the
    reply answers both.
    """
    del num_turns  # one, as the config makes sure
    heard = [turn for turn in turns if turn[0] in _SPEAKERS]
    if not heard:
        yield Exchange(dropped="no_human_turn")
        return
    if heard[0][0] != "human":
        yield Exchange(dropped="assistant_first")
        return
    answered = len(heard) > 1 and heard[1][0] == "gpt"
    answer = heard[1][1] if answered else None
    if answer is not None and not (answer.strip() and is_unicode(answer)):
        answer = None
    yield Exchange(user_turn(heard[0][1]), answer=answer)


def _paper_exchanges(
    turns: list[tuple[str, str]], num_turns: int
) -> Iterator[Exchange]:
    """Every answered prompt in the first 2 num_turns + 1 turns, as the authors walk.

    Turns of other speakers take a place in this count and say nothing. Text that the
    human adds to a question that nobody has answered becomes part of it, with the cue
    between. Where the assistant goes on by itself, the second part counts as an
    answer to a human who says nothing: an odd example, but theirs has it. What follows
    has that part behind the first, with the human's name between.
    """
    messages: list[Message] = []
    has_answer = False
    for speaker, text in turns[: 2 * num_turns + 1]:
        if speaker == "human":
            _ask(messages, text)
        elif speaker == "gpt" and not messages:
            yield Exchange(dropped="assistant_first")
            return
        elif speaker == "gpt":
            goes_on = messages[-1].role == "assistant"
            unsaid = user_turn("") if goes_on else ()
            yield Exchange((*messages, *unsaid), answer=text)
            has_answer = True
            if goes_on:
                text = f"{messages.pop().content}\n\nHuman: {text}"
            messages.append(Message(role="assistant", content=text))
    if not has_answer:
        yield Exchange(dropped="unanswered" if messages else "no_human_turn")


def _ask(messages: list[Message], text: str) -> None:
    """Adds what the human says, so that the text becomes the authors'."""
    if messages and messages[-1].role == "user":
        text = f"{messages.pop().content}\n\nAssistant: {text}"
    elif messages and not text:
        # an empty turn after an answer stands for none, which would have no cue
        answer, question = messages.pop().content, messages.pop().content
        text = f"{question}\n\nAssistant: {answer}\n\nHuman: "
    messages.append(Message(role="user", content=text))


_RULES: dict[str, Callable[[list[tuple[str, str]], int], Iterator[Exchange]]] = {
    "clean": _first_exchange,
    "paper": _paper_exchanges,
}
