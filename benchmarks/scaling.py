"""How far runs scale, on paper: from one chip to 4,096, from compiled steps.

    python benchmarks/scaling.py compile [NAME ...]
    python benchmarks/scaling.py input
    python benchmarks/scaling.py draw

`compile` plans DPO steps on growing slices, with much and with little work a chip, and
keeps each in benchmarks/results/scaling.json when it is done. `input` measures how long
a host takes to lay out batches. `draw` joins both to docs/scaling.md's tables and
benchmarks/results/scaling.png. Where slices are joined by a network, more of them
change only the factor 2 (s - 1) / s of what crosses it: beyond what was compiled that
is computed. Needs libtpu, and 1 to 5 minutes a slice.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from plan import planned

from rlaif_jax.config_parts import RowsConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Pair

RESULTS = Path(__file__).parent / "results" / "scaling.json"
FIGURE = RESULTS.with_suffix(".png")
MOST = 4096  # chips
TOKENS_A_PAIR = 768  # that is planned: prompt, chosen and rejected
TOKENS = (5.1, 0.55, 16, 256)  # of a part: log-normal, cut off; 180 in the mean


class Growth(NamedTuple):
    """A run on growing slices.

    Attributes:
      preset: The model.
      slices: Topology, chips, how many such, and what the mesh needs for it.
    """

    preset: str
    slices: list[tuple[str, int, int, tuple[str, ...]]]


RUNS = {
    "Pythia 1B, v5e": Growth(
        "pythia-1b",
        [
            ("v5e:1x1", 1, 1, ()),
            ("v5e:2x2", 4, 1, ()),
            ("v5e:4x4", 16, 1, ("mesh.data=4",)),
            ("v5e:8x8", 64, 1, ("mesh.data=16",)),
            ("v5e:16x16", 256, 1, ("mesh.data=64",)),
            ("v5e:16x16", 256, 2, ("mesh.data=128",)),
        ],
    ),
    "Mistral 7B, v5e": Growth(
        "mistral-7b-v0.1",
        [
            ("v5e:4x4", 16, 1, ()),
            ("v5e:8x8", 64, 1, ("mesh.data=2",)),
            ("v5e:16x16", 256, 1, ("mesh.data=8",)),
            ("v5e:16x16", 256, 2, ("mesh.data=16",)),
        ],
    ),
    "Llama 2 70B, v5p": Growth(
        "llama-2-70b",
        [
            ("v5p:4x4x4", 64, 1, ()),
            ("v5p:4x4x8", 128, 1, ("mesh.data=2",)),
            ("v5p:8x8x8", 512, 1, ("mesh.data=8",)),
            ("v5p:16x16x16", 4096, 1, ("mesh.data=64",)),
        ],
    ),
}
CHIPS_A_HOST = 4
PAIRS_A_CHIP = (4, 1)  # the usual, and the fewest: beyond, a chip has no row


def main() -> None:
    """Does one part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("compile", "input", "draw"))
    parser.add_argument("names", nargs="*", help="parts of a case's name; all, if none")
    asked = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if asked.part == "compile":
        compile_all(found, asked.names)
    elif asked.part == "input":
        found["input"] = laid_out()
        write(found)
    else:
        draw(found)


def write(found: dict[str, Any]) -> None:
    """Keeps what is known so far."""
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def compile_all(found: dict[str, Any], names: list[str]) -> None:
    """Plans what is named and not known yet."""
    for pairs, (run, growth) in product(PAIRS_A_CHIP, RUNS.items()):
        for topology, chips, slices, mesh in growth.slices:
            name = f"{run} {slices}x{chips} {pairs}"
            if name in found or not all(part in name for part in names):
                continue
            more = (*mesh, f"slices={slices}")
            size = chips * slices * pairs
            one = planned("dpo", growth.preset, topology, size, more)
            found[name] = one
            print(name, one.get("failed", "done"), flush=True)
            write(found)


def laid_out() -> dict[str, float]:
    """Seconds that a host takes to lay out its rows of a batch, by the batch's size."""
    draws = np.random.default_rng(0)
    mean, deviation, *ends = TOKENS
    seconds = {}
    for count in (64, 256, 1024, 4096, 16384):
        hosts = max(1, count // (PAIRS_A_CHIP[0] * CHIPS_A_HOST))
        lengths = draws.lognormal(mean, deviation, (count, 3)).clip(*ends).astype(int)
        pairs = [
            Pair(*(draws.integers(0, 32000, n).tolist() for n in sizes))
            for sizes in lengths
        ]
        layout = build_layout(
            RowsConfig(),
            length=1024,
            num_devices=count // PAIRS_A_CHIP[0],
            own=lambda num_rows, hosts=hosts: slice(num_rows // hosts),
        )
        times = []
        for _ in range(3):
            started = time.perf_counter()
            layout(pairs)
            times.append(time.perf_counter() - started)
        seconds[str(count)] = min(times)
        print(f"{count} pairs, {hosts} hosts: {1e3 * min(times):.1f} ms", flush=True)
    return seconds


class Point(NamedTuple):
    """One step's bounds, in seconds."""

    chips: int
    operations: float
    memory: float
    links: float
    network: float
    input: float
    is_compiled: bool

    @property
    def step(self) -> float:
        """What takes the longest, if the rest hides behind it."""
        return max(self[1:6])

    @property
    def serial(self) -> float:
        """The step, if nothing hides behind another but the input, a step ahead."""
        return max(sum(self[1:5]), self.input)

    @property
    def bound(self) -> str:
        """Its name."""
        names = self._fields[1:6]
        return names[int(np.argmax(self[1:6]))]


def points(found: dict[str, Any], run: str, pairs: int) -> list[Point]:
    """What was compiled of a run, and what follows from its last for more slices."""
    known = []
    for _, chips, slices, _ in RUNS[run].slices:
        one = found.get(f"{run} {slices}x{chips} {pairs}")
        if one is not None and one.get("fits"):
            step = one["steps"][0]
            times = [step[f"{what}_s"] for what in ("compute", "memory", "link")]
            total = chips * slices
            host = input_seconds(found, total * pairs)
            known.append(Point(total, *times, step["network_s"], host, True))
    last = RUNS[run].slices[-1]
    if last[2] == 1 or not known or known[-1].chips != last[1] * last[2]:
        return known
    base, slices = known[-1], last[2]
    while known[-1].chips < MOST:
        slices *= 2
        factor = 2 * (slices - 1) / slices  # of two slices it is 1
        total = last[1] * slices
        known.append(
            base._replace(
                chips=total,
                network=base.network * factor,
                input=input_seconds(found, total * pairs),
                is_compiled=False,
            )
        )
    return known


def input_seconds(found: dict[str, Any], pairs: int) -> float:
    """For a host to lay out its rows: it places all pairs, and fills its own rows."""
    sizes = sorted(map(int, found["input"]))
    times = [found["input"][str(size)] for size in sizes]
    return float(np.interp(pairs, sizes, times))


def draw(found: dict[str, Any]) -> None:
    """Prints the tables, and draws the times."""
    height = 3.5 * len(RUNS)
    figure, axes = plt.subplots(len(RUNS), 2, figsize=(10, height), sharex=True)
    for row, run in zip(axes, RUNS, strict=True):
        for axis, pairs in zip(row, PAIRS_A_CHIP, strict=True):
            known = points(found, run, pairs)
            title = f"{run}: {pairs} pair{'s' * (pairs > 1)} a chip"
            print(f"\n{title}\n\n{table(known)}")
            panel(axis, known, title)
        print(
            f"\n{run}: the same batch on four times the chips\n\n{strong(found, run)}"
        )
    print(f"\nHow little work a chip can have\n\n{least_work(found)}")
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=150)
    print(FIGURE)


def table(known: list[Point]) -> str:
    """Markdown, a line a number of chips."""
    lines = [
        "| chips | ms: operations | memory | links | network | input | step at least"
        " | bound by | if nothing hides |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in known:
        times = " | ".join(f"{1e3 * value:,.0f}" for value in one[1:6])
        label = f"{one.chips:,}" + " *" * (not one.is_compiled)
        lines.append(
            f"| {label} | {times} | {1e3 * one.step:,.0f} | {one.bound}"
            f" | {1e3 * one.serial:,.0f} |"
        )
    return "\n".join(lines)


def strong(found: dict[str, Any], run: str) -> str:
    """Markdown: batches that were planned on some chips and on four times as many."""
    many, few = PAIRS_A_CHIP
    wide = {one.chips: one for one in points(found, run, few)}
    lines = [
        "| pairs | chips | step, ms | speed of ideal | if nothing hides |",
        "|---|---|---|---|---|",
    ]
    for one in points(found, run, many):
        other = wide.get(one.chips * many // few)
        if other is not None:
            chips = f"{one.chips:,} to {other.chips:,}"
            steps = f"{1e3 * one.step:,.0f} to {1e3 * other.step:,.0f}"
            share = one.step / other.step * few / many
            serial = one.serial / other.serial * few / many
            lines.append(
                f"| {one.chips * many:,} | {chips} | {steps} | {share:.2f}"
                f" | {serial:.2f} |"
            )
    return "\n".join(lines)


def least_work(found: dict[str, Any]) -> str:
    """Markdown: the tokens a chip needs, so that its links do not keep it waiting."""
    lines = [
        "| run | links, ms a step | tokens a chip from which operations take as long |",
        "|---|---|---|",
    ]
    for run in RUNS:
        one = next(one for one in points(found, run, 1)[::-1] if one.is_compiled)
        sent = max(one.links, one.network)
        tokens = TOKENS_A_PAIR * sent / one.operations
        times = f"{1e3 * sent:,.0f}"
        lines.append(f"| {run}, {one.chips:,} chips | {times} | {tokens:,.0f} |")
    return "\n".join(lines)


def panel(axis: Any, known: list[Point], title: str) -> None:
    """The times over the number of chips."""
    compiled = [one.chips for one in known if one.is_compiled]
    for name in Point._fields[1:6]:
        sent = [one for one in known if getattr(one, name) > 0]
        chips = [one.chips for one in sent]
        values = [1e3 * getattr(one, name) for one in sent]
        marked = [n for n, one in enumerate(sent) if one.is_compiled]
        axis.plot(chips, values, marker="o", markersize=4, markevery=marked, label=name)
    axis.axvspan(compiled[-1], 2 * MOST, color="black", alpha=0.05, linewidth=0)
    axis.set_xscale("log", base=4)
    axis.set_xlim(0.7, 1.4 * MOST)
    axis.set_yscale("log")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("chips")
    axis.set_ylabel("ms a step")
    axis.grid(alpha=0.3)


if __name__ == "__main__":
    main()
