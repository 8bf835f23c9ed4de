"""The figures of a study's answer: win rates, and their differences."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from rlaif_jax.evaluation.paired import Estimate
from rlaif_jax.figures import INK, new_figure
from rlaif_jax.study.drawing import (
    CHARACTERS_PER_INCH,
    WIDE,
    arm_colors,
    fits,
    label,
    pale,
)
from rlaif_jax.study.results import StudyResults
from rlaif_jax.study.wording import points
from rlaif_jax.typing import Number

_MOST_UPRIGHT = 6  # arms side by side
_UPRIGHT_LINES = 3  # of an arm's name below its bar
_DOT = {"s": 18, "color": "white", "edgecolor": INK, "linewidth": 0.9, "zorder": 3}
_HALO = withStroke(linewidth=3, foreground="white")  # keeps lines off letters
_VALUE = {"fontsize": 9.5, "fontweight": "bold", "color": INK}


def win_rate_figure(results: StudyResults, *, width: float = WIDE) -> Figure:
    """Bars of the arms' win rates with 95 % intervals, and a dot a seed.

    Drawn as Figure 1 of the paper (arXiv:2402.12366), with the spread that it omits.
    Arms that are too many, or whose names are too long, to stand side by side lie
    below each other.
    """
    names = list(results.arms)
    room = 0.92 * width / len(names) * CHARACTERS_PER_INCH
    is_upright = len(names) <= _MOST_UPRIGHT and all(
        fits(name, room, lines=_UPRIGHT_LINES) for name in names
    )
    return _upright(results, width) if is_upright else _lying(results, width)


def _upright(results: StudyResults, width: float) -> Figure:
    """Bars side by side, with the names below."""
    figure = new_figure(width, 3.5)
    axes = figure.axes[0]
    colors = arm_colors(results)
    for place, (name, rate) in enumerate(results.win_rates().items()):
        color = colors[name]
        axes.bar(place, rate.value, width=0.62, color=pale(color))
        axes.vlines(place, rate.low, rate.high, color=color, linewidth=2.2)
        axes.hlines(rate.value, place - 0.31, place + 0.31, color=color, linewidth=2.2)
        seeds = _seed_win_rates(results, name)
        axes.scatter(_spread(place + 0.17, len(seeds)), seeds, **_DOT)
        _write(axes, rate, (place, max(rate.high, *seeds)), (0, 4))
    axes.axhline(50, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    room = width / len(results.arms) * CHARACTERS_PER_INCH
    labels = [label(name, room, lines=_UPRIGHT_LINES) for name in results.arms]
    axes.set_xticks(range(len(labels)), labels, fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 100)
    air = 0.6 + max(0.0, 3 - len(labels)) / 2  # around few bars
    axes.set_xlim(-air, len(labels) - 1 + air)
    axes.set_ylabel("Win rate (%)", color=INK, fontsize=9)
    return figure


def _lying(results: StudyResults, width: float) -> Figure:
    """Bars below each other, each under its name."""
    figure = new_figure(width, 0.55 + 0.52 * len(results.arms))
    axes = figure.axes[0]
    colors = arm_colors(results)
    for place, (name, rate) in enumerate(results.win_rates().items()):
        color = colors[name]
        axes.barh(place, rate.value, height=0.4, color=pale(color))
        axes.hlines(place, rate.low, rate.high, color=color, linewidth=2.2)
        axes.vlines(rate.value, place - 0.2, place + 0.2, color=color, linewidth=2.2)
        seeds = _seed_win_rates(results, name)
        axes.scatter(seeds, _spread(place + 0.11, len(seeds), most=0.16), **_DOT)
        _write(axes, rate, (max(rate.high, *seeds), place), (5, 0))
        axes.annotate(
            label(name, 12.5 * width),
            (0, place - 0.3),
            (1, 0),
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=8.5,
            color=INK,
            path_effects=[_HALO],
        )
    axes.axvline(50, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(results.arms) - 0.7, -0.75)
    axes.set_xlim(0, 108)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("Win rate (%)", color=INK, fontsize=9)
    return figure


def _write(
    axes: Axes, rate: Estimate, place: tuple[Number, Number], offset: tuple[int, int]
) -> None:
    """Writes a win rate beside the end of its bar."""
    axes.annotate(
        points(rate.value),
        place,
        offset,
        textcoords="offset points",
        ha="left" if offset[0] else "center",
        va="bottom" if offset[1] else "center",
        path_effects=[_HALO],
        **_VALUE,
    )


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
    labels = [label(f"{pair.a} over {pair.b}", room, lines=2) for pair in differences]
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Difference in win rate (points)", color=INK, fontsize=9)
    return figure


def _seed_win_rates(results: StudyResults, name: str) -> list[float]:
    """The win rate of each seed of an arm, in percent."""
    return [
        100 * sum(judged) / len(judged)
        for outcomes in results.arms[name].outcomes.values()
        if (judged := [won for won in outcomes.values() if won is not None])
    ]


def _spread(place: Number, count: int, *, most: float = 0.24) -> list[float]:
    """Places side by side, so that no dot hides another."""
    step = min(0.07, most / max(count, 1))
    return [place + step * (i - (count - 1) / 2) for i in range(count)]
