"""What a run of a study has left behind, and how two of them differ."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rlaif_jax.labeling.ledger import parse_record
from rlaif_jax.typing import Json

TIMES = ("seconds", "device_s")  # what may differ in results.json
WORDS = ("completions.jsonl", "verdicts.jsonl", "labels/*.jsonl", "prompts.jsonl")
SHARDS = ("*.parquet", "manifest.jsonl")


class Recorded(NamedTuple):
    """What ledgers know.

    Attributes:
      answers: Questions by how many answers of them are recorded.
      places: Each answer: its ledger, and the key of its question there.
      lost: By ledger, its intents without a result.
      asked_again: Intents of a question whose answer stood before them.
    """

    answers: Counter[str]
    places: Counter[tuple[str, str]]
    lost: dict[str, int]
    asked_again: int


def read_ledgers(stages: Path) -> Recorded:
    """What the ledgers of all stages know; a torn last line is nothing."""
    answers: Counter[str] = Counter()
    places: Counter[tuple[str, str]] = Counter()
    lost: dict[str, int] = {}
    asked_again = 0
    for path in sorted(stages.glob("*/ledger.jsonl")):
        name, balance = path.parent.name, 0
        for record in _records(path):
            place = name, record["key"]
            if record["kind"] == "intent":
                balance += 1
                asked_again += places[place] > 0
                continue
            balance -= record["attempts"]
            if record["state"] != "failed":
                answers[record["request_id"]] += 1
                places[place] += 1
        lost[name] = balance
    return Recorded(answers, places, lost, asked_again)


def _records(path: Path) -> Iterator[Json]:
    with path.open("rb") as file:
        for line in file:
            if (record := parse_record(line)) is not None:
                yield record


def under_way(stages: Path, *, since: float) -> dict[str, Path]:
    """Folders of the stages that were begun since a time and have not ended."""
    return {
        lock.parent.name: lock.parent
        for lock in stages.glob("*/.lock")
        if lock.stat().st_mtime >= since and not (lock.parent / "done.json").exists()
    }


def files(stages: Path) -> dict[str, bytes]:
    """The completions, labels, shards and verdicts of all stages."""
    paths = [path for name in WORDS + SHARDS for path in stages.glob(f"*/{name}")]
    return {str(path.relative_to(stages)): path.read_bytes() for path in sorted(paths)}


def told(study: Path) -> Any:
    """What results.json says, without times."""
    return _timeless(json.loads((study / "results.json").read_text()))


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in TIMES}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def differing(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differing(one.get(key), other.get(key), f"{path}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from differing(a, b, f"{path}/{number}")
    elif one != other:
        yield path
