"""Answers that a ledger takes over from older ones, so that nobody is asked again."""

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rlaif_jax.files import write_atomic
from rlaif_jax.labeling.ledger import lock_ledger, parse_record
from rlaif_jax.typing import Json

_WRITER_S = 40.0  # a worker of a study that was killed saves for 30 s
_KEY = re.compile(rb'"key": *"([0-9a-f]+)"')  # spares most lines of a large ledger


@dataclass
class _History:
    """What a ledger has of one question.

    Attributes:
      lines: Its calls and what came of them, in order.
      answers: Those of them that closed it.
    """

    lines: list[bytes] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)


def take_answers(
    ledger: Path,
    keys: Iterable[str],
    *,
    sources: Collection[Path],
    beside: Collection[Path],
) -> None:
    """Adds to a ledger what older ones have of questions that it leaves open.

    A question comes with all that its ledger has of it, line for line: calls, retries
    and price are told as where it was asked. In one step or not at all.

    Args:
      ledger: The file, which need not be there.
      keys: Of the questions that will be asked.
      sources: Ledgers that answers are taken from: of each the first that has one.
      beside: Ledgers that are in one bill with this one. What they have is not taken,
        as each answer is told once.

    Raises:
      UsageError: If another run writes to the ledger, or goes on writing to a source.
    """
    wanted = {*keys}
    with ExitStack() as held:
        if ledger.is_file():
            lock_ledger(held.enter_context(ledger.open("rb")).fileno(), ledger)
        wanted -= _answered(ledger, wanted).keys()
        added: list[bytes] = []
        for source in sources:
            if not wanted:
                break
            _wait_for_writer(source)
            answered = _answered(source, wanted)
            told = _answers(beside, answered)
            for key, one in answered.items():
                if told.isdisjoint(one.answers):
                    wanted.remove(key)
                    added += one.lines
        if added:
            write_atomic(ledger, b"".join([_whole(ledger), *added]))


def _wait_for_writer(ledger: Path) -> None:
    """Returns when nobody writes to a ledger: what is under way is paid for, too."""
    with ledger.open("rb") as file:
        lock_ledger(file.fileno(), ledger, wait_s=_WRITER_S)


def _answers(ledgers: Collection[Path], keys: Collection[str]) -> set[bytes]:
    """The lines with which ledgers answer questions."""
    if not keys:
        return set()
    found = (_answered(path, keys).values() for path in ledgers)
    return {line for each in found for one in each for line in one.answers}


def _answered(path: Path, keys: Collection[str]) -> dict[str, _History]:
    """What a ledger has of those of some questions that it answers."""
    histories: dict[str, _History] = {}
    for line, record in _records(path, keys):
        if record["key"] in keys:
            one = histories.setdefault(record["key"], _History())
            one.lines.append(line)
            if record["kind"] == "result" and record["state"] != "failed":
                one.answers.append(line)
    return {key: one for key, one in histories.items() if one.answers}


def _records(path: Path, keys: Collection[str]) -> Iterator[tuple[bytes, Json]]:
    """The lines of a ledger that may be about some questions, and what is in them."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if any(found.decode() in keys for found in _KEY.findall(line)):
                record = parse_record(line)
                if record is not None:
                    yield line, record


def _whole(path: Path) -> bytes:
    """What is in a ledger, but for a last line that a kill has torn."""
    content = path.read_bytes() if path.is_file() else b""
    return content[: content.rfind(b"\n") + 1]
