"""Answers that a ledger takes over from older ones, so that nobody is asked again."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rlaif_jax.files import write_atomic
from rlaif_jax.labeling.ledger import parse_record
from rlaif_jax.typing import Json


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
    """
    wanted = {*keys}
    wanted -= _answered(ledger, wanted).keys()
    found = [_answered(path, wanted) for path in sources] if wanted else []
    if not any(found):
        return
    told = {
        line
        for path in beside
        for one in _answered(path, wanted).values()
        for line in one.answers
    }
    added: list[bytes] = []
    for answered in found:
        for key, one in answered.items():
            if key in wanted and told.isdisjoint(one.answers):
                wanted.remove(key)
                added += one.lines
    if added:
        write_atomic(ledger, b"".join([_whole(ledger), *added]))


def _answered(path: Path, keys: Collection[str]) -> dict[str, _History]:
    """What a ledger has of those of some questions that it answers."""
    histories: dict[str, _History] = {}
    for line, record in _records(path):
        if record["key"] in keys:
            one = histories.setdefault(record["key"], _History())
            one.lines.append(line)
            if record["kind"] == "result" and record["state"] != "failed":
                one.answers.append(line)
    return {key: one for key, one in histories.items() if one.answers}


def _records(path: Path) -> Iterator[tuple[bytes, Json]]:
    """The lines of a ledger and what is in them; none of a file that is not there."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            record = parse_record(line)
            if record is not None:
                yield line, record


def _whole(path: Path) -> bytes:
    """What is in a ledger, but for a last line that a kill has torn."""
    content = path.read_bytes() if path.is_file() else b""
    return content[: content.rfind(b"\n") + 1]
