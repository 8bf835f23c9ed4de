"""Prompts of one or several data sets, of any format, and what was left out."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.alpaca_eval import read_alpaca_eval
from rlaif_jax.data.conversations import Exchange, Rivals, is_unicode
from rlaif_jax.data.hh import read_hh
from rlaif_jax.data.sharegpt import read_sharegpt
from rlaif_jax.data.shp import read_shp
from rlaif_jax.data.splits import HELD_OUT
from rlaif_jax.data.stack_exchange import read_stack_exchange
from rlaif_jax.data.tables import read_huggingface, read_parquet, read_tfds
from rlaif_jax.data.teacher_files import read_teacher
from rlaif_jax.data.ultrachat import read_ultrachat
from rlaif_jax.data.ultrafeedback import read_ultrafeedback
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_records
from rlaif_jax.mt_bench import read_questions
from rlaif_jax.records import Completion, Prompt


class Judged(NamedTuple):
    """A pair of completions that the source itself has a verdict on."""

    chosen: Completion
    rejected: Completion
    rivals: Rivals


class PromptsRead(NamedTuple):
    """What some sources hold."""

    prompts: tuple[Prompt, ...]  # in the sources' order, no two alike
    completions: tuple[Completion, ...]  # the sources' own answers, if they have some
    judged: Mapping[str, tuple[Judged, ...]]  # prompt id to its judged pairs
    num_read: int  # rows looked at
    dropped: Mapping[str, int]  # reason to rows
    undecided: Mapping[str, Mapping[str, int]]  # prompt id, reason: pairs that are none
    content: tuple[str, ...]  # of each source, a SHA-256 of all that was read


def read_prompts(*sources: SourceConfig) -> PromptsRead:
    """Every usable prompt of some sources, each once, and why the others are not.

    Rows are dropped as `empty` (the user says nothing; the paper's rules take these),
    `not_unicode` (half a surrogate pair, which no tokenizer takes) and `duplicate`
    (the first one stays, with all judged pairs; under the paper's rules the first
    place with the last answer; a prompt is held out if one of its copies is); the
    formats add their own reasons. Judged pairs are
    left out as `tie`, `blank`, `identical` and `not_unicode`.

    Raises:
      UsageError: If there is nothing at a path, or no such split or column.
      CorruptDataError: If it cannot be read as its format.
    """
    gathered: dict[str, _Kept] = {}
    dropped: Counter[str] = Counter()
    num_read, content = 0, []
    for source in sources:
        digest = hashlib.sha256()
        for exchange in _READERS[source.format](source):
            num_read += exchange.num_rows
            digest.update(_line(exchange))
            reason = _defect(exchange, source)
            if reason is None and _gather(gathered, exchange, source):
                reason = "duplicate"
            if reason is not None:
                dropped[reason] += 1
        content.append(digest.hexdigest())
    judged: dict[str, tuple[Judged, ...]] = {}
    undecided: dict[str, Mapping[str, int]] = {}
    for prompt_id, kept in gathered.items():
        pairs, reasons = _judged(prompt_id, kept)
        if pairs:
            judged[prompt_id] = pairs
        if reasons:
            undecided[prompt_id] = reasons
    return PromptsRead(
        tuple(kept.prompt for kept in gathered.values()),
        tuple(one for kept in gathered.values() for one in _completions(kept)),
        judged,
        num_read,
        dict(dropped),
        undecided,
        tuple(content),
    )


def left_out(
    undecided: Mapping[str, Mapping[str, int]], prompt_ids: Iterable[str]
) -> dict[str, int]:
    """How many judged pairs of these prompts are none, by reason."""
    total: Counter[str] = Counter()
    for prompt_id in prompt_ids:
        total.update(undecided.get(prompt_id, {}))
    return dict(total)


def _read_jsonl(source: SourceConfig) -> Iterator[Exchange]:
    """Prompt records, which state their own id, source and split."""
    for prompt in read_records(Path(source.path), Prompt):
        yield Exchange(
            prompt.messages,
            split=prompt.split,
            prompt_id=prompt.prompt_id,
            source=prompt.source,
        )


def _read_mt_bench(source: SourceConfig) -> Iterator[Exchange]:
    """The first turn of each question, for evaluation alone."""
    for question in read_questions(Path(source.path)):
        prompt = question.first_prompt(f"mt_bench:{question.question_id}")
        yield Exchange(prompt.messages, split=prompt.split, source=prompt.source)


_READERS: dict[str, Callable[[SourceConfig], Iterable[Exchange]]] = {
    "sharegpt": read_sharegpt,
    "teacher": read_teacher,
    "alpaca_eval": read_alpaca_eval,
    "mt_bench": _read_mt_bench,
    "hh": read_hh,
    "shp": read_shp,
    "stack_exchange": read_stack_exchange,
    "ultrafeedback": read_ultrafeedback,
    "ultrachat": read_ultrachat,
    "jsonl": _read_jsonl,
    "parquet": read_parquet,
    "huggingface": read_huggingface,
    "tfds": read_tfds,
}


class _Kept(NamedTuple):
    """A prompt, and what its source says about it."""

    prompt: Prompt
    exchange: Exchange
    writer: str  # of the source's answer


def _gather(
    gathered: dict[str, _Kept], exchange: Exchange, source: SourceConfig
) -> bool:
    """Enters a row; says whether its prompt was there already."""
    prompt = _prompt(exchange, source)
    writer = source.generator or exchange.generator or source.format
    new = _Kept(prompt, exchange, writer)
    known = gathered.get(prompt.prompt_id)
    if known is None:
        gathered[prompt.prompt_id] = new
        return False
    if known.prompt.messages != prompt.messages:
        raise CorruptDataError(
            f"{source.path}: prompt_id {prompt.prompt_id!r} names two different prompts"
        )
    merged = _MERGED[source.rules](known, new)
    gathered[prompt.prompt_id] = _held_out(merged, known, new)
    return True


def _held_out(merged: _Kept, *copies: _Kept) -> _Kept:
    """The prompt, held out if a copy of it is: the others would let it be trained on.

    `test` goes before `validation`, whichever came first.
    """
    splits = {one.prompt.split for one in copies}
    split = next((name for name in HELD_OUT if name in splits), merged.prompt.split)
    prompt = merged.prompt.model_copy(update={"split": split})
    return merged._replace(prompt=prompt)


def _first_stays(known: _Kept, new: _Kept) -> _Kept:
    """The first answer, and the judged pairs of both."""
    rivals = dict.fromkeys([*known.exchange.rivals, *new.exchange.rivals])
    undecided = known.exchange.undecided + new.exchange.undecided
    both = known.exchange._replace(rivals=tuple(rivals), undecided=undecided)
    return known._replace(exchange=both)


def _last_wins(known: _Kept, new: _Kept) -> _Kept:
    """The first one's place with what the last one says."""
    return new._replace(prompt=known.prompt)


_MERGED: dict[str, Callable[[_Kept, _Kept], _Kept]] = {
    "clean": _first_stays,
    "paper": _last_wins,
}


def _defect(exchange: Exchange, source: SourceConfig) -> str | None:
    """Why a row cannot be a prompt."""
    if exchange.dropped is not None:
        return exchange.dropped
    if not exchange.messages or exchange.messages[-1].role != "user":
        return "no_user_turn"
    if source.rules == "clean" and not exchange.messages[-1].content.strip():
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


def _completions(kept: _Kept) -> list[Completion]:
    """The row's own answer as a record, if it has one that can be written down."""
    answer = kept.exchange.answer
    if answer is None or not is_unicode(answer):
        return []
    prompt_id = kept.prompt.prompt_id
    return [Completion.create(prompt_id, answer, generator=kept.writer)]


def _judged(
    prompt_id: str, kept: _Kept
) -> tuple[tuple[Judged, ...], Mapping[str, int]]:
    """The row's judged pairs as records, and how many teach nothing, by reason."""
    undecided: Counter[str] = Counter()
    if kept.exchange.undecided:
        undecided["tie"] += kept.exchange.undecided
    pairs = []
    for rivals in kept.exchange.rivals:
        reason = _no_pair(rivals)
        if reason is not None:
            undecided[reason] += 1
            continue
        sides = (
            (rivals.chosen, rivals.chosen_generator),
            (rivals.rejected, rivals.rejected_generator),
        )
        chosen, rejected = (
            Completion.create(prompt_id, text, generator=name) for text, name in sides
        )
        pairs.append(Judged(chosen, rejected, rivals))
    return tuple(pairs), dict(undecided)


def _no_pair(rivals: Rivals) -> str | None:
    """Why two answers are no pair."""
    texts: Sequence[str] = (rivals.chosen, rivals.rejected)
    if not all(text.strip() for text in texts):
        return "blank"
    if not all(map(is_unicode, texts)):
        return "not_unicode"
    return "identical" if texts[0] == texts[1] else None


def _line(exchange: Exchange) -> bytes:
    """A row as bytes that say all of it."""
    turns = [(turn.role, turn.content) for turn in exchange.messages]
    said = exchange[1:-1]  # the last field counts rows, which the rivals tell
    return json.dumps([turns, *said]).encode() + b"\n"
