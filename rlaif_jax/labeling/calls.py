"""What a ledger tells of each call that was answered."""

import json
from pathlib import Path
from typing import NamedTuple

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.typing import Json


class LedgerCall(NamedTuple):
    """The end of one question.

    Attributes:
      outcome: What came of it.
      latency_s: Seconds from the last call's intent to its result, both on disk; None
        if no intent stands before it, or a batch has answered.
    """

    outcome: Outcome
    latency_s: float | None


def read_calls(path: Path) -> dict[str, tuple[LedgerCall, ...]]:
    """The last outcome of each question of a ledger, which may still be growing.

    Returns:
      Item to the ends of its questions: several, if several critics were asked about
      it, or one several times. Nothing if there is no such file; a torn last line
      does not count.

    Raises:
      CorruptDataError: If a whole line is not a ledger's record.
    """
    calls: dict[str, dict[str, LedgerCall]] = {}  # item, then key
    if not path.is_file():
        return {}
    sent_at: dict[str, float] = {}  # of the last intent, by key
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            record = _record(line, f"{path}:{number}")
            if record["kind"] == "intent":
                sent_at[record["key"]] = record["at"]
                continue
            since = sent_at.pop(record["key"], None)
            if record.get("via") == "batch":
                since = None  # hours of a queue are no latency
            calls.setdefault(record["item"], {})[record["key"]] = LedgerCall(
                Outcome.from_json(record),
                None if since is None else max(0.0, record["at"] - since),
            )
    return {item: tuple(by_key.values()) for item, by_key in calls.items()}


def _record(line: bytes, place: str) -> Json:
    """One line, checked as far as it is read."""
    try:
        record = json.loads(line)
        if record["kind"] == "result":
            Outcome.from_json(record)
        if isinstance(record["at"], int | float) and isinstance(record["key"], str):
            return record
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise CorruptDataError(f"{place} is not a ledger record: restore the file")
