"""The figures of training: losses, and the rewards of preferences."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlaif_jax.figures import INK, new_figure
from rlaif_jax.study.drawing import WIDE, arm_colors, label, legend_above, legend_inches
from rlaif_jax.study.results import Curve, StudyResults
from rlaif_jax.study.rewards import REWARDS, learning_curves, reward_curves

_STAGES = {"sft": "SFT", "dpo": "DPO"}
_PANEL_INCHES = 3.4
_TITLE_CHARACTERS = 40
_WINDOW = 15  # one part in so many of a curve is averaged into each point


def learning_figure(results: StudyResults, *, width: float = WIDE) -> Figure:
    """Everything that is no reward: one panel a stage and measure."""
    return _curves_figure(results, learning_curves(results), width)


def rewards_figure(results: StudyResults, *, width: float = WIDE) -> Figure:
    """The rewards of preferences: one panel a measure."""
    return _curves_figure(results, reward_curves(results), width)


def _curves_figure(
    results: StudyResults, curves: Sequence[Curve], width: float
) -> Figure:
    panels: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        panels.setdefault((curve.stage, curve.measure), []).append(curve)
    columns = min(len(panels), max(1, int(width / _PANEL_INCHES)))
    rows = -(-len(panels) // columns)
    drawn = {curve.arm for curve in curves}
    colors = {arm: c for arm, c in arm_colors(results).items() if arm in drawn}
    height = legend_inches(colors, width) + 0.1 + 2.3 * rows
    figure = new_figure(width, height, rows=rows, columns=columns)
    for axes, (stage, measure) in zip(figure.axes, panels, strict=False):
        _draw(axes, panels[stage, measure], colors)
        title = REWARDS.get(measure) or f"{_STAGES.get(stage, stage)}: {measure}"
        axes.set_title(
            label(title, _TITLE_CHARACTERS), fontsize=9.5, color=INK, loc="left"
        )
        axes.set_xlabel("Step", color=INK, fontsize=9)
    for axes in figure.axes[len(panels) :]:
        axes.set_visible(False)
    legend_above(figure, colors)
    return figure


def _draw(axes: Axes, curves: Iterable[Curve], colors: Mapping[str, str]) -> None:
    """Every run pale as it was, and its running mean over it."""
    for curve in curves:
        values = np.array([np.nan if v is None else v for v in curve.values], float)
        color = colors.get(curve.arm, INK)
        axes.plot(curve.steps, values, color=color, linewidth=0.6, alpha=0.3)
        axes.plot(curve.steps, _smooth(values), color=color, linewidth=1.5, alpha=0.9)


def _smooth(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """The mean of the points around each, fewer at the ends; NaN counts nowhere."""
    reach = len(values) // (2 * _WINDOW)
    known = ~np.isnan(values)
    kernel = np.ones(2 * reach + 1)
    total = np.convolve(np.where(known, values, 0.0), kernel, "same")
    count = np.convolve(known.astype(float), kernel, "same")
    return np.where(known, total / np.maximum(count, 1.0), np.nan)
