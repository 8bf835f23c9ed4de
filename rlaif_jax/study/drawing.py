"""What the figures of a study share: sizes, one colour an arm, names that fit."""

import textwrap
from collections.abc import Collection, Mapping
from typing import NamedTuple

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rlaif_jax.figures import INK, PALETTE
from rlaif_jax.study.results import StudyResults
from rlaif_jax.typing import Number
from rlaif_jax.visible import visible

WIDE = 7.6  # inches: a page of text
NARROW = 3.9  # inches: a phone
CHARACTERS_PER_INCH = 11.5  # of a tick label

_CUT = "\N{HORIZONTAL ELLIPSIS}"
_LEGEND_CHARACTERS_PER_INCH = 10.5
_LEGEND_KEY_INCHES = 0.45
_LEGEND_LINE_INCHES = 0.18
_LONGEST_IN_LEGEND = 33


def arm_colors(results: StudyResults) -> dict[str, str]:
    """One colour an arm, the same in every figure and table."""
    return {
        name: PALETTE[index % len(PALETTE)] for index, name in enumerate(results.arms)
    }


def pale(color: str) -> tuple[float, ...]:
    """A colour mixed with white, so that the grid does not shine through."""
    return tuple(1 - 0.32 * (1 - part) for part in to_rgb(color))


def label(name: str, room: Number, *, lines: int = 1) -> str:
    """A name as matplotlib shows it: cut to size, and never read as a formula.

    Underscores may break like spaces.

    Args:
      name: Whatever the user called it.
      room: Characters of a line.
      lines: Most lines; what does not fit ends with an ellipsis.
    """
    found = textwrap.wrap(
        visible(name).replace("_", "_ "),
        max(5, int(room)),
        max_lines=lines,
        placeholder=_CUT,
    )
    text = "\n".join(line.replace("_ ", "_") for line in found)
    return text.replace("$", r"\$")


def fits(name: str, room: Number, *, lines: int) -> bool:
    """Whether a name stands whole in that many lines, with no word broken."""
    words = visible(name).replace("_", "_ ").split()
    is_whole = not label(name, room, lines=lines).endswith(_CUT)
    return is_whole and all(len(word) <= room for word in words)


def legend_inches(names: Collection[str], width: Number) -> float:
    """The height of the legend above a figure."""
    columns = _legend_layout(names, width).columns
    return _LEGEND_LINE_INCHES * -(-len(names) // columns)


def legend_above(figure: Figure, colors: Mapping[str, str]) -> None:
    """One legend for all panels, above them, in as many columns as fit."""
    layout = _legend_layout(colors, figure.get_figwidth())
    handles = [Line2D([], [], color=color, linewidth=3) for color in colors.values()]
    figure.legend(
        handles,
        layout.labels,
        loc="outside upper left",
        ncols=layout.columns,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handlelength=1.2,
        handletextpad=0.3,
        borderaxespad=0.0,
        columnspacing=1.2,
    )


class _Legend(NamedTuple):
    labels: list[str]
    columns: int


def _legend_layout(names: Collection[str], width: Number) -> _Legend:
    room = min(
        _LONGEST_IN_LEGEND,
        int((width - _LEGEND_KEY_INCHES) * _LEGEND_CHARACTERS_PER_INCH),
    )
    # matplotlib drops labels that begin with an underscore, so none does
    labels = [f" {label(name, room)}" for name in names]
    longest = max(map(len, labels), default=1) / _LEGEND_CHARACTERS_PER_INCH
    columns = int(width / (longest + _LEGEND_KEY_INCHES))
    return _Legend(labels, max(1, min(len(labels), columns)))
