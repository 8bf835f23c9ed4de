"""Labels against a server that is hostile on purpose, and counts what that cost.

    python benchmarks/label_hostile.py [--comparisons 2000] [--api openai]

Of the server's answers 30 % are one of: 429 with and without `Retry-After`, 500, 529, a
dropped connection, a body that never ends, truncated JSON, a page of HTML, a refusal, a
label that there is not, 10 MB, bytes that are not UTF-8. Which one is a function of the
question and of how often it was asked; latencies are drawn from another seed.

Two runs with other latencies must seal the same bytes, and all states must sum to the
comparisons. A third run has a budget for less than half of them: the server's own bill
must stay below it, also when the run is started again (which may ask what is short
enough for the rest), and more money must finish it.

The ideal beside the time that a run took, from its first call to the end of its last:
the times in which the server had asked to be left alone, when no call may begin; and
what of the calls in its log lay outside of these, end to end over as many connections
as the run may use.

Writes benchmarks/results/label_hostile.json, unless another `--name` is given.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "label_arms"))

import verb
from conclusion import conclude, options_of
from inputs import billed_usd, sealed_files, write_config, write_inputs
from local_server import LocalServer, local_server
from server import Behaviour

STATES = {"labeled", "skipped_identical", "unparsable", "refused", "too_long", "failed"}
ASKS_FOR_REST = "429-later"
LATENCY_SEEDS = (1, 2)
BUDGET_SHARE = 0.4  # of what the whole costs, at most
REFUSED = 78  # the exit code of a budget that is reached


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = options_of(__doc__, "label_hostile")
    parser.add_argument("--comparisons", type=int, default=2000)
    parser.add_argument("--faults", type=float, default=0.3)
    parser.add_argument("--api", choices=("openai", "anthropic"), default="openai")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--latency-s", type=float, default=0.5)
    parser.add_argument("--timeout-s", type=float, default=3.0)
    return parser.parse_args()


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Two runs with other latencies, and one with a small budget."""
    behaviour = Behaviour(
        latency_s=options.latency_s,
        spread=0.8,
        faults=options.faults,
        fault_seed=options.seed,
    )
    write_inputs(folder, options.comparisons)
    runs = [
        hostile_run(options, folder, replace(behaviour, latency_seed=seed))
        for seed in LATENCY_SEEDS
    ]
    files = [sealed_files(folder / f"run_{seed}") for seed in LATENCY_SEEDS]
    budget = short_of_money(options, folder, behaviour)
    states = [run["states"] for run in runs]
    return {
        "api": options.api,
        "comparisons": options.comparisons,
        "max_in_flight": options.in_flight,
        "timeout_s": options.timeout_s,
        "server": vars(behaviour),
        "cpus": os.cpu_count(),
        "runs": runs,
        "budget": budget,
        "holds": {
            "states_sum_up": all(sum(s.values()) == options.comparisons for s in states)
            and all(s.keys() <= STATES for s in states),
            "equal_bytes_whatever_the_timing": files[0] == files[1],
            "a_small_budget_ends_the_run": budget["codes"] == [REFUSED, REFUSED, 0],
            "no_bill_above_the_budget": max(budget["billed_usd"])
            <= budget["budget_usd"],
            "more_money_finishes_it": budget["comparisons"] == options.comparisons,
        },
    }


def hostile_run(
    options: argparse.Namespace, folder: Path, behaviour: Behaviour
) -> dict[str, Any]:
    """One run to its end."""
    with local_server(behaviour) as server:
        ended = label(options, folder, server, f"run_{behaviour.latency_seed}")
        stats, log = server.stats(), server.log()
    if ended.code:
        raise RuntimeError(f"label ended with {ended.code}: {ended.said}")
    rests = merged(
        (end, end + behaviour.retry_after_s)
        for _, _, fault, _, end in log
        if fault == ASKS_FOR_REST
    )
    rest_s = sum(end - begin for begin, end in rests)
    busy_s = sum(
        end - begin - sum(overlap_s((begin, end), rest) for rest in rests)
        for *_, begin, end in log
    )
    wall_s = max(end for *_, end in log) - min(begin for *_, begin, _ in log)
    ideal_s = busy_s / options.in_flight + rest_s
    return {
        "latency_seed": behaviour.latency_seed,
        "states": ended.result["states"],
        "calls": stats["requests"],
        "ends": stats["ends"],
        "most_in_flight": stats["most_in_flight"],
        "seconds": {
            "from_first_to_last_call": round(wall_s, 2),
            "of_calls_outside_rest": round(busy_s, 2),
            "of_rest": round(rest_s, 2),
            "ideal": round(ideal_s, 2),
            "over_ideal": round(wall_s / ideal_s, 3),
            "process": round(ended.wall_s, 2),
            "cpu": round(ended.cpu_s, 2),
        },
        "peak_rss_mb": round(ended.peak_rss_mb),
    }


def short_of_money(
    options: argparse.Namespace, folder: Path, behaviour: Behaviour
) -> dict[str, Any]:
    """A run that ends at its budget, again, and with more money."""
    spent = json.loads((folder / f"run_{LATENCY_SEEDS[0]}" / "label.json").read_text())
    budget_usd = BUDGET_SHARE * spent["cost_usd"]
    with local_server(behaviour) as server:
        first = label(options, folder, server, "short", budget_usd=budget_usd)
        stats = [server.stats()]
        again = label(options, folder, server, "short", budget_usd=budget_usd)
        stats.append(server.stats())
        last = label(options, folder, server, "short", budget_usd=1000.0)
    return {
        "budget_usd": budget_usd,
        "billed_usd": [billed_usd(one) for one in stats],
        "calls": [one["requests"] for one in stats],
        "codes": [first.code, again.code, last.code],
        "said": first.said,
        "comparisons": last.result.get("comparisons"),
    }


def label(
    options: argparse.Namespace,
    folder: Path,
    server: LocalServer,
    out: str,
    *,
    budget_usd: float = 1000.0,
) -> verb.Ended:
    """Runs `label`, which may leave out whatever gets no answer."""
    base_url = f"{server.url}/v1" if options.api == "openai" else server.url
    config = write_config(
        folder,
        server.url,
        critic={
            "api": options.api,
            "base_url": base_url,
            "max_in_flight": options.in_flight,
            "timeout_s": options.timeout_s,
        },
        budget_usd=budget_usd,
        max_unanswered=options.comparisons,
    )
    return verb.run(config, folder / out)


def merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same times as spans that do not overlap."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


def overlap_s(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Seconds that both spans cover."""
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


if __name__ == "__main__":
    conclude(measure, arguments())
