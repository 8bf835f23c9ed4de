"""Figures of preference training: log-ratios, margins, curves and token strips."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlaif_jax.figures import CHOSEN, INK, PALETTE, REJECTED, new_figure
from rlaif_jax.inspection.log_ratios import (
    SIDES,
    LogRatios,
    PairStrips,
    TokenStrip,
)
from rlaif_jax.typing import Json

_TOKENS_PER_LINE = 20  # of a strip
_SMOOTHING_SPANS = 50  # a curve is averaged over this fraction of its steps


def histogram(ratios: LogRatios) -> Figure:
    """How log-ratios are distributed, chosen against rejected."""
    figure = new_figure(6.4, 3.8)
    axes = figure.axes[0]
    edges = np.histogram_bin_edges(ratios.log_ratios, bins=40)
    sides = (("chosen", CHOSEN), ("rejected", REJECTED))
    for values, (side, colour) in zip(ratios.log_ratios.T, sides, strict=True):
        label = f"{side}: mean {values.mean():+.2f}"
        axes.hist(values, list(edges), color=colour, alpha=0.55, label=label)
        axes.axvline(values.mean(), color=colour, linewidth=1.5)
    axes.axvline(0.0, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("log-ratio of policy to reference (nats)")
    axes.set_ylabel("completions")
    axes.legend(frameon=False, fontsize=9)
    return figure


def margin_by_length(ratios: LogRatios) -> Figure:
    """Whether the policy prefers length: margin against difference in tokens."""
    figure = new_figure(6.4, 3.8)
    axes = figure.axes[0]
    longer = ratios.num_tokens[:, 0] - ratios.num_tokens[:, 1]
    axes.scatter(longer, ratios.margins, s=10, color=PALETTE[2], alpha=0.5, linewidth=0)
    axes.axhline(0.0, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("tokens of chosen less tokens of rejected")
    axes.set_ylabel("margin (nats)")
    accuracy = (ratios.margins > 0).mean()
    axes.set_title(
        f"{accuracy:.1%} of {len(longer)} margins are positive; "
        f"correlation with length {_correlation(longer, ratios.margins)}",
        fontsize=9,
        color=INK,
    )
    return figure


def training_curves(metrics: Sequence[Json]) -> Figure:
    """Rewards, margin and accuracy of a DPO run over its steps.

    Args:
      metrics: The lines of its `metrics.jsonl`.
    """
    figure = new_figure(9.6, 3.2, columns=3)
    rewards, margins, accuracies = figure.axes
    for name, colour in (("chosen", CHOSEN), ("rejected", REJECTED)):
        _draw_curve(rewards, metrics, f"rewards/{name}", colour, label=name)
    rewards.legend(frameon=False, fontsize=9)
    _draw_curve(margins, metrics, "rewards/margins", PALETTE[2], label="margin")
    _draw_curve(accuracies, metrics, "rewards/accuracies", PALETTE[4], label="accuracy")
    accuracies.axhline(0.5, color=INK, linewidth=0.8, linestyle=":")
    accuracies.set_ylim(0.0, 1.0)
    titles = ("implicit reward (nats)", "margin (nats)", "pairs ranked right")
    for axes, title in zip(figure.axes, titles, strict=True):
        axes.set_title(title, fontsize=10, color=INK)
        axes.set_xlabel("step")
    return figure


def heat_strips(
    pair: PairStrips, pieces: tuple[Sequence[str], Sequence[str]]
) -> Figure:
    """Log-ratio of every token of one pair, as colour under its text.

    Args:
      pair: From `LogRatios.strips`.
      pieces: The text of each token, of the chosen and of the rejected completion.
    """
    cells = [_lines(strip) for strip in pair]
    gap = np.full((1, _TOKENS_PER_LINE), np.nan)  # where a side's title stands
    grid = np.concatenate([gap, cells[0], gap, cells[1]])
    limit = max(float(np.abs(strip.log_ratios).max(initial=1e-6)) for strip in pair)
    figure = new_figure(9.6, 0.6 + 0.34 * len(grid))
    axes = figure.axes[0]
    axes.set_axis_off()
    image = axes.imshow(grid, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    top = 0
    for side, strip, texts in zip(SIDES, pair, pieces, strict=True):
        title = f"{side}: log-ratio {strip.log_ratios.sum():+.2f} nats"
        axes.text(-0.45, top, title, va="center", fontsize=10, color=INK)
        _write_tokens(axes, strip, texts, first_line=top + 1, limit=limit)
        top += 1 + len(_lines(strip))
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label("token log-ratio (nats)", color=INK, fontsize=9)
    return figure


def smoothed(values: Float[np.ndarray, " N"], span: int) -> Float[np.ndarray, " N"]:
    """Each value's mean with up to `span` - 1 values before it."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - span, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _correlation(x: np.ndarray, y: np.ndarray) -> str:
    """Pearson's r in words: it does not exist for a constant."""
    if x.std() == 0.0 or y.std() == 0.0:
        return "undefined"
    return f"{np.corrcoef(x, y)[0, 1]:+.2f}"


def _draw_curve(
    axes: Axes, metrics: Sequence[Json], name: str, colour: str, *, label: str
) -> None:
    """One metric: every step faint, and its running mean."""
    steps = [line["step"] for line in metrics]
    values = np.array([line[name] for line in metrics], np.float64)
    axes.plot(steps, values, color=colour, alpha=0.2, linewidth=0.8)
    mean = smoothed(values, max(1, len(values) // _SMOOTHING_SPANS))
    axes.plot(steps, mean, color=colour, linewidth=1.6, label=label)


def _lines(strip: TokenStrip) -> Float[np.ndarray, "lines tokens"]:
    """The token log-ratios as lines of equal width; beyond the end is not a number."""
    num_lines = -(-len(strip.token_ids) // _TOKENS_PER_LINE)
    cells = np.full(num_lines * _TOKENS_PER_LINE, np.nan)
    cells[: len(strip.token_ids)] = strip.log_ratios
    return cells.reshape(num_lines, _TOKENS_PER_LINE)


def _write_tokens(
    axes: Axes,
    strip: TokenStrip,
    texts: Sequence[str],
    *,
    first_line: int,
    limit: float,
) -> None:
    """The tokens' texts over their cells, readable on light and dark ones."""
    for index, (text, ratio) in enumerate(zip(texts, strip.log_ratios, strict=True)):
        line, column = divmod(index, _TOKENS_PER_LINE)
        axes.text(
            column,
            first_line + line,
            text,
            ha="center",
            va="center",
            fontsize=8,
            color="white" if abs(ratio) > 0.6 * limit else INK,
            parse_math=False,  # a token may be a dollar sign
            clip_on=True,
        )
