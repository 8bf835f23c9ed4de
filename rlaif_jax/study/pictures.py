"""The figures of a study as files, and as images inside a page."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from rlaif_jax.figures import save_drawing, svg_bytes
from rlaif_jax.study.cost_figure import cost_figure, known_costs
from rlaif_jax.study.drawing import NARROW, WIDE
from rlaif_jax.study.figures import differences_figure, win_rate_figure
from rlaif_jax.study.results import StudyResults
from rlaif_jax.study.rewards import learning_curves, reward_curves
from rlaif_jax.study.training_figures import learning_figure, rewards_figure


@dataclass(frozen=True)
class Picture:
    """One figure as data URIs: for a page, and for a phone."""

    wide: str
    narrow: str


def draw_pictures(results: StudyResults, folder: Path) -> dict[str, Picture]:
    """Draws every figure that the study has data for, as files and for the page.

    Args:
      results: The study.
      folder: For NAME.png and NAME.svg of each figure.

    Returns:
      Name to picture, of those that the page shows as images.
    """
    drawings: dict[str, Callable[..., Figure]] = {"win_rates": win_rate_figure}
    if known_costs(results):
        drawings["cost"] = cost_figure
    if learning_curves(results):
        drawings["training"] = learning_figure
    if reward_curves(results):
        drawings["rewards"] = rewards_figure
    pictures = {
        name: draw_picture(draw, results, folder / name)
        for name, draw in drawings.items()
    }
    if len(results.arms) > 1:  # the page has its own strips for these
        save_drawing(differences_figure(results), folder / "differences")
    return pictures


def draw_picture(
    draw: Callable[..., Figure], results: StudyResults, path: Path
) -> Picture:
    """One figure as PNG and SVG beside each other, and for the page.

    Args:
      draw: Draws it, to a width.
      results: What to draw.
      path: Of the files, without an ending.
    """
    figure = draw(results, width=WIDE)
    save_drawing(figure, path)
    narrow = draw(results, width=NARROW)
    return Picture(wide=_svg_uri(figure), narrow=_svg_uri(narrow))


def _svg_uri(figure: Figure) -> str:
    """The figure as a data URI: as an image, nothing in it can run."""
    encoded = base64.b64encode(svg_bytes(figure, is_transparent=True)).decode()
    return f"data:image/svg+xml;base64,{encoded}"
