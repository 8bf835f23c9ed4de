"""The look of every figure: one palette, one grid, files that are whole or absent.

Figures are `matplotlib.figure.Figure` objects: no pyplot, so no global state, no
display, and nothing to close.
"""

import io
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlaif_jax.files import write_atomic

# Okabe and Ito (2008): told apart under every common colour blindness
BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
# Tol (2021), "muted" scheme, for more than six
WINE = "#882255"
INDIGO = "#332288"
OLIVE = "#999933"
GREY = "#777777"
PALETTE = (
    *(BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY),
    *(WINE, INDIGO, OLIVE, GREY),
)
CHOSEN = BLUE  # of a preference, in every figure
REJECTED = VERMILION
INK = "#222222"  # text and reference lines
FAINT = "#D9D9D9"  # grid

DOTS_PER_INCH = 144


def new_figure(
    width: float, height: float, *, rows: int = 1, columns: int = 1
) -> Figure:
    """An empty figure with styled axes, row by row in its `axes`.

    Args:
      width: Of the whole figure, in inches.
      height: Of the whole figure, in inches.
      rows: Of axes.
      columns: Of axes.

    Returns:
      A figure whose layout keeps labels from overlapping.
    """
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        style(axes)
    return figure


def style(axes: Axes) -> None:
    """Gives axes the shared look: light grid behind, two spines, small ink text."""
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=FAINT, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG, atomically, with the same bytes for the same figure."""
    write_atomic(path, png_bytes(figure))


def save_drawing(figure: Figure, path: Path) -> None:
    """Writes a figure twice, as PNG and as SVG, each atomically.

    Args:
      figure: What to write.
      path: Without an ending.
    """
    save_figure(figure, path.with_name(f"{path.name}.png"))
    write_atomic(path.with_name(f"{path.name}.svg"), svg_bytes(figure))


def svg_bytes(figure: Figure, *, is_transparent: bool = False) -> bytes:
    """The figure as SVG, without the time or the version that drew it.

    Args:
      figure: What to write; letters become shapes, so that no font is needed.
      is_transparent: Whether what is behind shows through.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "rlaif_jax"}):
        figure.savefig(
            buffer,
            format="svg",
            transparent=is_transparent,
            metadata={"Date": None, "Creator": None},
        )
    return buffer.getvalue()


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, without the time or the version that drew it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
