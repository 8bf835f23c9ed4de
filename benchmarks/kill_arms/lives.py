"""Kills of a study: when they come, and what they meet."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import remains
import tiny_study
from counted_lab import Call, CountedLab, Strike

AT_CALLS = 0.7  # of the kills
WITHIN = 0.95  # of the calls: a later kill might find nothing left
LAST_AT_CALLS = 3  # evaluations are last, and neither train nor sample
LATER_S = {"calls": 0.5, "training": 1.0, "sampling": 3.0}  # at most, once it is there
VERBS = {"training": {"sft", "dpo"}, "sampling": {"sample"}}
POLL_S = 0.02
SETTLE_S = 0.3  # for what the dead have sent to arrive

Kind = Literal["calls", "training", "sampling"]


class Aim(NamedTuple):
    """When a kill comes.

    Attributes:
      kind: What it is to meet.
      answered: Of calls: after so many answers in all, and one of this start.
      later_s: From there to the kill.
    """

    kind: Kind
    answered: int
    later_s: float


@dataclass(frozen=True)
class Life:
    """From a start to its kill.

    Attributes:
      aim: Of the kill.
      seconds: It took.
      verbs: Of the stages that the kill met.
      in_flight: Questions that were not answered when it came.
      arrived: Questions of this life.
      recorded: Those of them whose answers ledgers have.
      before: Answers that ledgers had when it began.
      places: Where the ledgers have each answer, after it.
      unread_s: From the first answer that was sent and is in no ledger to the kill.
    """

    aim: Aim
    seconds: float
    verbs: tuple[str, ...]
    in_flight: Counter[str]
    arrived: Counter[str]
    recorded: Counter[str]
    before: Counter[str]
    places: Counter[tuple[str, str]]
    unread_s: float

    @property
    def under_way(self) -> Counter[str]:
        """Questions that had arrived, and whose answers no ledger has."""
        found = self.arrived.copy()
        found.subtract(self.recorded)
        return found


def draw_aims(kills: int, needed: int, *, seed: int) -> list[Aim]:
    """When the kills come: at calls all over the study, others between them."""
    draw = random.Random(seed)
    num_calls = round(AT_CALLS * kills)
    part = WITHIN * needed / max(1, num_calls)
    points = [int(part * draw.uniform(n, n + 1)) for n in range(num_calls)]
    kinds: list[Kind] = ["calls"] * max(0, num_calls - LAST_AT_CALLS)
    kinds += (["training", "sampling"] * kills)[: kills - num_calls]
    draw.shuffle(kinds)
    kinds += ["calls"] * (kills - len(kinds))
    return [
        Aim(
            kind,
            points.pop(0) if kind == "calls" else 0,
            draw.uniform(0, LATER_S[kind]),
        )
        for kind in kinds
    ]


def kill_all(
    aims: Sequence[Aim], run: Path, lab: CountedLab, *, workers: int
) -> list[Life]:
    """Starts and kills, until all kills are spent or nothing is left to kill."""
    lives: list[Life] = []
    stages, before = run / "study" / "stages", Counter[str]()
    for aim in aims:
        first, begun_at, since = len(lab.calls), time.monotonic(), time.time()
        process = tiny_study.start(run, lab.url, workers=workers)
        strike = struck(process, lab, aim, stages, since=since)
        if strike is None:
            break  # it was done before
        settle(process, lab)
        after = remains.read_ledgers(stages)
        calls, recorded = lab.calls[first:], after.answers - before
        life = Life(
            aim=aim,
            seconds=strike.at - begun_at,
            verbs=tuple(map(_verb, remains.under_way(stages, since=since))),
            in_flight=strike.in_flight,
            arrived=Counter(call.question for call in calls),
            recorded=recorded,
            before=before,
            places=after.places,
            unread_s=_unread_s(calls, recorded, strike),
        )
        lives.append(life)
        before = after.answers
        told = f"{aim.kind}, {life.seconds:.0f} s, {before.total()} answers are kept, "
        told += f"{strike.in_flight.total()} in flight, at {' and '.join(life.verbs)}"
        print(f"{len(lives)}: {told}", file=sys.stderr, flush=True)
    return lives


def _unread_s(calls: Sequence[Call], recorded: Counter[str], strike: Strike) -> float:
    """Seconds from the first answer that was sent, and not kept, to the kill."""
    sent = [
        strike.at - call.answered_at
        for call in calls
        if call.question not in recorded | strike.in_flight
        and call.answered_at is not None
        and call.answered_at <= strike.at
    ]
    return max(sent, default=0.0)


def _verb(stage: str) -> str:
    """The command of a stage's folder."""
    return stage.partition("-")[0]


def struck(
    process: "subprocess.Popen[bytes]",
    lab: CountedLab,
    aim: Aim,
    stages: Path,
    *,
    since: float,
) -> Strike | None:
    """Kills a study as aimed; None if it ended before."""
    if aim.kind != "calls":
        while process.poll() is None and not met(stages, VERBS[aim.kind], since):
            time.sleep(POLL_S)
        time.sleep(aim.later_s)
        return lab.kill_now(process.pid) if process.poll() is None else None
    answered = max(aim.answered, lab.num_answered + 1)
    kill = lab.kill_at(process.pid, answered=answered, later_s=aim.later_s)
    while not kill.done() and process.poll() is None:
        time.sleep(POLL_S)
    lab.withdraw()
    return kill.result() if kill.done() else None


def met(stages: Path, verbs: Collection[str], since: float) -> bool:
    """Whether a stage of these runs; one that trains, since it saved in this start."""
    for name, folder in remains.under_way(stages, since=since).items():
        if _verb(name) not in verbs:
            continue
        if _verb(name) == "sample":
            return True
        saved = folder / "checkpoints"
        if any(step.isdigit() for step in _newer(saved, since)):
            return True
    return False


def _newer(folder: Path, since: float) -> list[str]:
    """What a folder holds that is newer; what vanishes meanwhile is not there."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [one.name for one in entries if _time(one) >= since]


def _time(entry: "os.DirEntry[str]") -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def settle(process: "subprocess.Popen[bytes]", lab: CountedLab) -> None:
    """Waits until all of the killed are gone, and nothing of theirs still arrives."""
    process.wait()
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(POLL_S)
    time.sleep(SETTLE_S)
    while lab.in_flight:
        time.sleep(POLL_S)
