"""Prompts of a data set, whatever its format, and a count of what was left out."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rlaif_jax.config import SourceConfig
from rlaif_jax.data import sharegpt
from rlaif_jax.data.alpaca_eval import read_alpaca_eval
from rlaif_jax.data.conversations import Exchange, is_unicode
from rlaif_jax.data.tables import read_huggingface, read_parquet, read_tfds
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_records
from rlaif_jax.records import Completion, Prompt


class PromptsRead(NamedTuple):
    """What a source holds."""

    prompts: tuple[Prompt, ...]  # in the source's order, no two alike
    completions: tuple[Completion, ...]  # the source's own answers, if it has some
    num_read: int  # rows looked at
    dropped: Mapping[str, int]  # reason to rows


def read_prompts(source: SourceConfig) -> PromptsRead:
    """Every usable prompt of a source, each once, and why the others are not.

    Rows are dropped as `empty` (the user says nothing), `not_unicode` (half a
    surrogate pair, which no tokenizer takes) and `duplicate` (the first one stays);
    the formats add their own reasons.

    Raises:
      UsageError: If there is nothing at the path, or no such split or column.
      CorruptDataError: If it cannot be read as its format.
    """
    prompts: dict[str, Prompt] = {}
    completions: list[Completion] = []
    dropped: Counter[str] = Counter()
    num_read = 0
    for exchange in _READERS[source.format](source):
        num_read += 1
        reason = _defect(exchange)
        if reason is not None:
            dropped[reason] += 1
            continue
        prompt = _prompt(exchange, source)
        if prompt.prompt_id in prompts:
            _require_same(prompts[prompt.prompt_id], prompt, source)
            dropped["duplicate"] += 1
            continue
        prompts[prompt.prompt_id] = prompt
        completions += _completions(prompt, exchange)
    return PromptsRead(
        tuple(prompts.values()), tuple(completions), num_read, dict(dropped)
    )


def _read_jsonl(source: SourceConfig) -> Iterator[Exchange]:
    """Prompt records, which state their own id, source and split."""
    for prompt in read_records(Path(source.path), Prompt):
        yield Exchange(
            prompt.messages,
            split=prompt.split,
            prompt_id=prompt.prompt_id,
            source=prompt.source,
        )


_READERS: dict[str, Callable[[SourceConfig], Iterable[Exchange]]] = {
    "sharegpt": sharegpt.read_sharegpt,
    "alpaca_eval": read_alpaca_eval,
    "jsonl": _read_jsonl,
    "parquet": read_parquet,
    "huggingface": read_huggingface,
    "tfds": read_tfds,
}


def _defect(exchange: Exchange) -> str | None:
    """Why a row cannot be a prompt."""
    if exchange.dropped is not None:
        return exchange.dropped
    if not exchange.messages or exchange.messages[-1].role != "user":
        return "no_user_turn"
    if not exchange.messages[-1].content.strip():
        return "empty"
    if not all(is_unicode(message.content) for message in exchange.messages):
        return "not_unicode"
    return None


def _prompt(exchange: Exchange, source: SourceConfig) -> Prompt:
    """The record of a row; its id is the content's unless the row has one."""
    prompt = Prompt.create(
        exchange.messages, source=exchange.source or source.path, split=exchange.split
    )
    if exchange.prompt_id is None:
        return prompt
    return prompt.model_copy(update={"prompt_id": exchange.prompt_id})


def _require_same(first: Prompt, second: Prompt, source: SourceConfig) -> None:
    """Refuses one id for two texts: completions could not tell them apart."""
    if first.messages != second.messages:
        raise CorruptDataError(
            f"{source.path}: prompt_id {first.prompt_id!r} names two different prompts"
        )


def _completions(prompt: Prompt, exchange: Exchange) -> list[Completion]:
    """The row's own answer as a record, if it has one."""
    if exchange.answer is None:
        return []
    return [
        Completion.create(
            prompt.prompt_id, exchange.answer, generator=sharegpt.GENERATOR
        )
    ]
