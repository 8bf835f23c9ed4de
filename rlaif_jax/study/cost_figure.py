"""The figure of what arms cost and what came of it, with the frontier."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlaif_jax.figures import INK, new_figure
from rlaif_jax.study.drawing import WIDE, arm_colors, legend_above, legend_inches
from rlaif_jax.study.frontier import cost_points, frontier
from rlaif_jax.study.results import StudyResults
from rlaif_jax.typing import Number

_SIDE_BY_SIDE = 6.0  # inches that two panels need
_AXES = {
    "usd": "Teacher and critic (US dollars)",
    "device_s": "Training and sampling (device minutes)",
}
_LINE = "#8A8A8A"


def known_costs(results: StudyResults) -> tuple[str, ...]:
    """The kinds of cost that any arm had: `usd`, `device_s`."""
    points = cost_points(results).values()
    return tuple(kind for kind in _AXES if any(getattr(p, kind) for p in points))


def cost_figure(results: StudyResults, *, width: float = WIDE) -> Figure:
    """Win rate against each kind of cost, one panel each.

    Hollow dots are of arms that are dominated in that cost; the line is the best win
    rate to be had for it.
    """
    kinds = known_costs(results)
    columns = len(kinds) if width >= _SIDE_BY_SIDE else 1
    rows = -(-len(kinds) // columns)
    height = legend_inches(results.arms, width) + 2.9 * rows
    figure = new_figure(width, height, rows=rows, columns=columns)
    for axes, kind in zip(figure.axes, kinds, strict=True):
        _draw(axes, results, kind)
    legend_above(figure, arm_colors(results))
    return figure


def _draw(axes: Axes, results: StudyResults, kind: str) -> None:
    """One panel."""
    unit = 1.0 if kind == "usd" else 60.0
    points: Mapping[str, tuple[Number, Number]] = {
        name: (getattr(point, kind) / unit, point.win_rate)
        for name, point in cost_points(results).items()
    }
    best = frontier(points)
    colors = arm_colors(results)
    costs = [cost for cost, _ in points.values()]
    least = 0.0 if min(costs) < max(costs) / 2 else min(costs)
    margin = 0.12 * (max(costs) - least) or 0.12 * max(costs)
    most = max(costs) + margin
    steps = sorted(points[name] for name in best)
    axes.step(
        [*(cost for cost, _ in steps), most],
        [*(won for _, won in steps), steps[-1][1]],
        where="post",
        color=_LINE,
        linewidth=1.0,
        linestyle=(0, (3, 2)),
        zorder=1,
    )
    for name, rate in results.win_rates().items():
        cost, color = points[name][0], colors[name]
        axes.vlines(cost, rate.low, rate.high, color=color, linewidth=1.8)
        face = color if name in best else "white"
        axes.plot(cost, rate.value, "o", color=color, mfc=face, mew=1.8, markersize=7)
    axes.set_xlim(least - margin / 2, most)
    axes.locator_params(axis="x", nbins=5)
    axes.margins(y=0.12)
    axes.set_xlabel(_AXES[kind], color=INK, fontsize=9)
    axes.set_ylabel("Win rate (%)", color=INK, fontsize=9)
