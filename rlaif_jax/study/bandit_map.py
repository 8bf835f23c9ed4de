"""A sweep of bandits, drawn: what RLAIF reaches beyond SFT, and the border between.

Shape letter: E edges of cells, one more than cells.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from rlaif_jax.figures import BLUE, INK, VERMILION, new_figure, save_figure
from rlaif_jax.study.bandit_sweep import LOGARITHMIC, Panel, SweepResult
from rlaif_jax.typing import Number

_COLUMNS = 3  # maps beside each other, at most
_COLOURS = "RdBu"  # red: SFT ahead; blue: RLAIF ahead; white between
_NAMES = {
    "student_mean": "student's mean action (percentile)",
    "teacher_mean": "teacher's mean action (percentile)",
    "student_sd": "student's standard deviation",
    "beta": "beta",
    "samples": "pairs, and demonstrations",
}


def draw_sweep(result: SweepResult, path: Path) -> None:
    """Draws every panel into a file."""
    save_figure(sweep_figure(result), path)


def sweep_figure(result: SweepResult) -> Figure:
    """Every panel: a map with its border, or a line where one thing varies."""
    panels = result.panels()
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(
        1.6 + 4.2 * columns, 0.6 + 3.6 * rows, rows=rows, columns=columns
    )
    for axes in figure.axes[len(panels) :]:
        axes.set_visible(False)
    drawn = figure.axes[: len(panels)]
    if panels[0].y is None:
        for axes, panel in zip(drawn, panels, strict=True):
            _draw_line(axes, panel, result)
    else:
        _draw_maps(figure, drawn, panels, result)
    for axes, panel in zip(drawn, panels, strict=True):
        _name(axes, panel)
    return figure


def _draw_maps(
    figure: Figure, drawn: list[Axes], panels: list[Panel], result: SweepResult
) -> None:
    """One colour scale for all maps: what is white is equal everywhere."""
    largest = max(float(np.abs(panel.difference).max()) for panel in panels) or 1.0
    norm = TwoSlopeNorm(0.0, vmin=-largest, vmax=largest)
    mesh = None
    for axes, panel in zip(drawn, panels, strict=True):
        assert panel.y is not None
        xs, ys = result.values[panel.x], result.values[panel.y]
        edges = (
            _edges(xs, logarithmic=panel.x in LOGARITHMIC),
            _edges(ys, logarithmic=panel.y in LOGARITHMIC),
        )
        mesh = axes.pcolormesh(*edges, panel.difference, cmap=_COLOURS, norm=norm)
        axes.grid(visible=False)
        if panel.difference.min() < 0 < panel.difference.max():
            border = axes.contour(xs, ys, panel.difference, levels=[0.0], colors=INK)
            axes.clabel(border, fmt="equal", fontsize=8)
        if panel.y in LOGARITHMIC:
            axes.set_yscale("log")
        axes.set_ylabel(_NAMES[panel.y], fontsize=9)
    assert mesh is not None
    bar = figure.colorbar(mesh, ax=drawn)
    bar.set_label("RLAIF - SFT, expected reward (blue: RLAIF ahead)", fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _edges(values: Sequence[Number], *, logarithmic: bool) -> Float64[np.ndarray, " E"]:
    """Where the cells of values end: halfway between them, as the axis measures it."""
    places = np.asarray(values, np.float64)
    if logarithmic:
        return np.exp(_edges(np.log(places).tolist(), logarithmic=False))
    gaps = np.diff(places) / 2.0
    first, last = places[0] - gaps[0], places[-1] + gaps[-1]
    return np.concatenate([[first], places[:-1] + gaps, [last]])


def _draw_line(axes: Axes, panel: Panel, result: SweepResult) -> None:
    """Both ways over the one thing that varies, the better one shaded."""
    xs, row = np.asarray(result.values[panel.x], float), panel.difference[0]
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.plot(xs, row, color=INK, marker="o", markersize=3)
    for where, colour, name in (
        (row >= 0, BLUE, "RLAIF ahead"),
        (row <= 0, VERMILION, "SFT ahead"),
    ):
        axes.fill_between(
            xs, row, where=where, color=colour, alpha=0.25, interpolate=True, label=name
        )
    axes.set_ylabel("expected reward: RLAIF - SFT", fontsize=9)
    axes.legend(frameon=False, fontsize=8)


def _name(axes: Axes, panel: Panel) -> None:
    """What varies along x, and what other panels have other values of."""
    if panel.x in LOGARITHMIC:
        axes.set_xscale("log")
    axes.set_xlabel(_NAMES[panel.x], fontsize=9)
    given = ", ".join(f"{name} {value:g}" for name, value in panel.given.items())
    if given:
        axes.set_title(given, fontsize=9, color=INK)
