"""The figures of a study: win rates, differences, prices, training curves."""

import textwrap
from collections.abc import Sequence

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rlaif_jax.figures import INK, PALETTE, new_figure
from rlaif_jax.study.results import Curve, StudyResults
from rlaif_jax.study.wording import points
from rlaif_jax.typing import Number
from rlaif_jax.visible import visible

WIDE = 7.6  # inches: a page of text
NARROW = 3.9  # inches: a phone

_CHARACTERS_PER_INCH = 11.5  # of a tick label
_LEGEND_CHARACTERS = 20
_CUT = "\N{HORIZONTAL ELLIPSIS}"


def arm_colors(results: StudyResults) -> dict[str, str]:
    """One colour an arm, the same in every figure and table."""
    return {
        name: PALETTE[index % len(PALETTE)] for index, name in enumerate(results.arms)
    }


def win_rate_figure(results: StudyResults, *, width: float = WIDE) -> Figure:
    """Bars of the arms' win rates with 95 % intervals, and a dot a seed.

    Drawn as Figure 1 of the paper (arXiv:2402.12366), with the spread that it omits.
    """
    figure = new_figure(width, 3.5)
    axes = figure.axes[0]
    colors = arm_colors(results)
    for place, (name, rate) in enumerate(results.win_rates().items()):
        axes.bar(place, rate.value, width=0.62, color=_pale(colors[name]))
        axes.vlines(place, rate.low, rate.high, color=colors[name], linewidth=2.2)
        axes.hlines(
            rate.value, place - 0.31, place + 0.31, color=colors[name], linewidth=2.2
        )
        seeds = _seed_win_rates(results, name)
        axes.scatter(
            _spread(place + 0.17, len(seeds)),
            seeds,
            s=18,
            color="white",
            edgecolor=INK,
            linewidth=0.9,
            zorder=3,
        )
        top = max(rate.high, *seeds)
        axes.annotate(
            points(rate.value),
            (place, top),
            (0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9.5,
            fontweight="bold",
            color=INK,
        )
    axes.axhline(50, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    room = width / len(results.arms) * _CHARACTERS_PER_INCH
    labels = [_label(name, room, lines=3) for name in results.arms]
    axes.set_xticks(range(len(labels)), labels, fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 100)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_ylabel("Win rate (%)", color=INK, fontsize=9)
    return figure


def differences_figure(results: StudyResults, *, width: float = WIDE) -> Figure:
    """Every pair's difference with its 95 % interval, the larger arm first."""
    differences = [pair.positive() for pair in results.differences()]
    figure = new_figure(width, 0.9 + 0.32 * len(differences))
    axes = figure.axes[0]
    for place, pair in enumerate(differences):
        estimate = pair.estimate
        color = INK if estimate.low > 0 else "#8A8A8A"
        axes.hlines(place, estimate.low, estimate.high, color=color, linewidth=2)
        axes.plot(estimate.value, place, "o", color=color, markersize=5.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    room = 6 * width
    labels = [_label(f"{pair.a} over {pair.b}", room, lines=2) for pair in differences]
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Difference in win rate (points)", color=INK, fontsize=9)
    return figure


def price_figure(results: StudyResults, *, width: float = WIDE) -> Figure:
    """Win rate against what teacher and critic cost."""
    figure = new_figure(width, 3.3)
    axes = figure.axes[0]
    bills, colors = results.bills(), arm_colors(results)
    for name, rate in results.win_rates().items():
        price = bills[name].making_usd
        axes.vlines(price, rate.low, rate.high, color=colors[name], linewidth=2.2)
        axes.plot(price, rate.value, "o", color=colors[name], markersize=7)
    axes.set_xlim(0, 1.08 * max(bill.making_usd for bill in bills.values()))
    axes.margins(y=0.15)
    axes.set_xlabel("Teacher and critic (US dollars, all seeds)", color=INK, fontsize=9)
    axes.set_ylabel("Win rate (%)", color=INK, fontsize=9)
    _legend_above(figure, colors)
    return figure


def curves_figure(results: StudyResults, *, width: float = WIDE) -> Figure:
    """Training curves: one panel a stage and measure, one line an arm and seed."""
    panels = list(dict.fromkeys((c.stage, c.measure) for c in results.curves))
    columns = min(len(panels), max(1, int(width / 3.4)))
    rows = -(-len(panels) // columns)
    figure = new_figure(width, 0.5 + 2.3 * rows, rows=rows, columns=columns)
    colors = arm_colors(results)
    for axes, (stage, measure) in zip(figure.axes, panels, strict=False):
        for curve in _of_panel(results.curves, stage, measure):
            values = [float("nan") if v is None else v for v in curve.values]
            axes.plot(
                curve.steps,
                values,
                color=colors.get(curve.arm, INK),
                linewidth=1.4,
                alpha=0.85,
            )
        title = _label(f"{stage}: {measure.replace('_', ' ')}", _LEGEND_CHARACTERS * 2)
        axes.set_title(title, fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel("Step", color=INK, fontsize=9)
    for axes in figure.axes[len(panels) :]:
        axes.set_visible(False)
    drawn = {curve.arm for curve in results.curves}
    _legend_above(figure, {arm: c for arm, c in colors.items() if arm in drawn})
    return figure


def _of_panel(curves: Sequence[Curve], stage: str, measure: str) -> list[Curve]:
    return [c for c in curves if (c.stage, c.measure) == (stage, measure)]


def _seed_win_rates(results: StudyResults, name: str) -> list[float]:
    """The win rate of each seed of an arm, in percent."""
    return [
        100 * sum(judged) / len(judged)
        for outcomes in results.arms[name].outcomes.values()
        if (judged := [won for won in outcomes.values() if won is not None])
    ]


def _pale(color: str) -> tuple[float, ...]:
    """A colour mixed with white, so that the grid does not shine through."""
    return tuple(1 - 0.32 * (1 - part) for part in to_rgb(color))


def _spread(place: float, count: int) -> list[float]:
    """Places side by side, so that no dot hides another."""
    step = min(0.07, 0.24 / max(count, 1))
    return [place + step * (i - (count - 1) / 2) for i in range(count)]


def _label(name: str, room: Number, *, lines: int = 1) -> str:
    """A name as matplotlib shows it: cut to size, and never read as a formula.

    Underscores may break like spaces.
    """
    found = textwrap.wrap(
        visible(name).replace("_", "_ "),
        max(5, int(room)),
        max_lines=lines,
        placeholder=_CUT,
    )
    text = "\n".join(line.replace("_ ", "_") for line in found)
    return text.replace("$", r"\$")


def _legend_above(figure: Figure, colors: dict[str, str]) -> None:
    """One legend for all panels, above them."""
    handles = [Line2D([], [], color=color, linewidth=3) for color in colors.values()]
    # matplotlib drops labels that begin with an underscore, so none does
    labels = [f" {_label(name, _LEGEND_CHARACTERS)}" for name in colors]
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=max(1, min(len(labels), int(figure.get_figwidth() / 1.5))),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handlelength=1.2,
        handletextpad=0.3,
    )
