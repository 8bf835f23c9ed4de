"""Kills a study of ten arms over and over, and counts every call that it makes.

    python benchmarks/study_kills.py [--kills 20] [--workers 2] [--latency-s 0.4]

The lab's models run in this process: they name each question by its content, and know
at any time which are in flight. One base model is made. From it the study runs
unbroken; then again in another folder, where it is killed with all its workers (SIGKILL
to their process group) and started again until it is done. Seven of ten kills come with
calls in flight, after a drawn number of answers; the others while a stage trains, after
a checkpoint of this start, or samples.

A call is under way at a kill if it had arrived and no ledger has its answer. To hold:
no answer that a ledger has is asked for again; each question that was asked more often
than in the unbroken run was under way at a kill, at least as often; completions,
labels, shards and verdicts equal byte for byte; results.json equal but for `seconds`,
`device_s` and the `calls` of teachers, which count lost calls, as their ledgers do.

Writes benchmarks/results/study_kills.json, unless another `--name` is given.
"""

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "label_arms"))
sys.path.insert(0, str(Path(__file__).parent / "kill_arms"))

import remains
import tiny_study
from conclusion import conclude, finish, options_of, spread
from counted_lab import CountedLab
from lives import Life, draw_aims, kill_all


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = options_of(__doc__, "study_kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--latency-s", type=float, default=0.4)
    return parser.parse_args()


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One unbroken run and one of many lives."""
    tiny_study.make_base(folder)
    begun_at = time.monotonic()
    with _lab(options) as lab:
        finish(tiny_study.start(folder / "unbroken", lab.url, workers=options.workers))
        needed = Counter(call.question for call in lab.calls)
    unbroken_s = time.monotonic() - begun_at
    print(f"unbroken: {needed.total()} calls, {unbroken_s:.0f} s", file=sys.stderr)
    begun_at = time.monotonic()
    with _lab(options) as lab:
        aims = draw_aims(options.kills, needed.total(), seed=options.seed)
        lives = kill_all(aims, folder / "killed", lab, workers=options.workers)
        finish(tiny_study.start(folder / "killed", lab.url, workers=options.workers))
        asked = Counter(call.question for call in lab.calls)
    killed_s = time.monotonic() - begun_at
    return {
        "arms": len(remains.told(folder / "unbroken" / "study")["study"]["arms"]),
        "workers": options.workers,
        "latency_s": options.latency_s,
        "seed": options.seed,
        "cpus": os.cpu_count(),
        "seconds": {"unbroken": round(unbroken_s, 1), "killed": round(killed_s, 1)},
        **kills_met(lives),
        **compared(folder, lives, needed=needed, asked=asked, kills=options.kills),
    }


def _lab(options: argparse.Namespace) -> Any:
    return CountedLab(tiny_study.VARIANT, latency_s=options.latency_s).serving()


def kills_met(lives: list[Life]) -> dict[str, Any]:
    """What the kills met, in all."""
    in_flight = [life.in_flight.total() for life in lives]
    return {
        "kills": len(lives),
        "kills_aimed_at": Counter(life.aim.kind for life in lives),
        "kills_with_calls_in_flight": sum(number > 0 for number in in_flight),
        "stages_under_way_at_kills": Counter(v for life in lives for v in life.verbs),
        "in_flight_at_a_kill": spread(in_flight),
        "answers_recorded_in_a_life": spread([one.recorded.total() for one in lives]),
        "life_s": spread([life.seconds for life in lives]),
    }


def compared(
    folder: Path,
    lives: list[Life],
    *,
    needed: Counter[str],
    asked: Counter[str],
    kills: int,
) -> dict[str, Any]:
    """What the kills cost, and whether all holds that must."""
    studies = folder / "unbroken" / "study", folder / "killed" / "study"
    unbroken, killed = (remains.read_ledgers(path / "stages") for path in studies)
    kept = [remains.files(path / "stages") for path in studies]
    under_way = sum((life.under_way for life in lives), Counter[str]())
    in_flight = sum(life.in_flight.total() for life in lives)
    lost = sum(killed.lost.values())
    return {
        "calls": {
            "needed": needed.total(),
            "at_the_server": asked.total(),
            "asked_again": (asked - needed).total(),
            "in_flight_at_kills": in_flight,
            "answered_and_unread_at_kills": under_way.total() - in_flight,
            "unread_s_at_most": round(max(life.unread_s for life in lives), 3),
            "lost_by_the_ledgers": lost,
        },
        "files_compared": len(kept[0]),
        "keys_of_results_that_differ": list(
            remains.differing(*map(remains.told, studies))
        ),
        "holds": {
            "all_kills_came_before_the_end": len(lives) == kills,
            "kills_aimed_at_calls_met_some": all(
                life.in_flight for life in lives if life.aim.kind == "calls"
            ),
            "no_recorded_answer_was_asked_for_again": is_paid_once(
                lives, needed, killed
            ),
            "every_repeated_question_was_under_way_at_a_kill": asked - needed
            <= under_way,
            "no_call_is_in_no_ledger": under_way.total() <= lost,
            "answers_recorded_are_those_of_the_unbroken_run": killed.answers
            == unbroken.answers,
            "results_equal_but_for_times_and_lost_calls": calls_told(
                studies, unbroken.lost, killed.lost
            ),
            "completions_labels_and_verdicts_equal": kept[0] == kept[1],
        },
    }


def is_paid_once(
    lives: list[Life], needed: Counter[str], killed: remains.Recorded
) -> bool:
    """Whether what a ledger has was never asked for again, nor lost.

    By the server: answers that were recorded before a life, and the questions of that
    life, are together no more than a study needs. By the ledgers: nothing follows the
    answer to a question, and no answer goes.
    """
    return (
        not killed.asked_again
        and max(killed.places.values()) == 1
        and all(life.places <= killed.places for life in lives)
        and all(
            life.before[question] + number <= needed[question]
            for life in lives
            for question, number in life.arrived.items()
        )
    )


def calls_told(
    studies: tuple[Path, Path], before: dict[str, int], after: dict[str, int]
) -> bool:
    """Whether results.json are equal once teachers' lost calls are taken off."""
    documents = [remains.told(study) for study in studies]
    for document, lost in zip(documents, (before, after), strict=True):
        for stage in document["study"]["stages"]:
            if stage["kind"] == "complete":
                for spend in stage["spend"].values():
                    spend["calls"] -= lost[stage["stage_id"]]
    return documents[0] == documents[1]


if __name__ == "__main__":
    conclude(measure, arguments())
