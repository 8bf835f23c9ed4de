"""Tests of `rlaif_jax.inspection.figures`."""

import numpy as np
import pytest

from rlaif_jax.figures import png_bytes
from rlaif_jax.inspection.figures import (
    heat_strips,
    histogram,
    margin_by_length,
    smoothed,
    training_curves,
)
from rlaif_jax.inspection.log_ratios import LogRatios, PairStrips, TokenStrip


@pytest.fixture
def ratios():
    rng = np.random.default_rng(0)
    moved = rng.normal([1.0, -2.0], 1.0, (60, 2)).astype(np.float32)
    return LogRatios(
        pair_ids=tuple(map(str, range(60))),
        policy=moved - 10,
        reference=np.full((60, 2), -10.0, np.float32),
        num_tokens=rng.integers(2, 9, (60, 2)),
        beta=0.1,
    )


def strip(values):
    return TokenStrip(tuple(range(len(values))), np.array(values, np.float32))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_the_histogram_counts_every_completion_and_names_the_means(ratios):
    figure = histogram(ratios)

    bars = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(bars) == 120
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    means = ratios.log_ratios.mean(axis=0)
    assert labels == [
        f"chosen: mean {means[0]:+.2f}",
        f"rejected: mean {means[1]:+.2f}",
    ]
    png_bytes(figure)


def test_the_scatter_has_a_point_a_pair_and_its_accuracy(ratios):
    figure = margin_by_length(ratios)

    points = figure.axes[0].collections[0].get_offsets()
    assert len(points) == 60
    np.testing.assert_allclose(points[:, 1], ratios.margins)
    accuracy = (ratios.margins > 0).mean()
    assert f"{accuracy:.1%} of 60" in figure.axes[0].get_title()
    png_bytes(figure)


def test_equal_lengths_have_no_correlation(ratios):
    same = LogRatios(
        pair_ids=ratios.pair_ids,
        policy=ratios.policy,
        reference=ratios.reference,
        num_tokens=np.full((60, 2), 3),
        beta=0.1,
    )

    assert "undefined" in margin_by_length(same).axes[0].get_title()


def test_curves_hold_every_logged_step():
    names = ("chosen", "rejected", "margins", "accuracies")
    metrics = [
        {"step": step, **{f"rewards/{name}": step / 10 for name in names}}
        for step in range(1, 8)
    ]

    figure = training_curves(metrics)

    for axes in figure.axes:
        assert axes.lines[0].get_xdata().tolist() == list(range(1, 8))
    png_bytes(figure)


def test_a_running_mean_starts_with_what_there_is():
    # 1; (1+3)/2; (3+5)/2; (5+7)/2
    np.testing.assert_allclose(
        smoothed(np.array([1.0, 3.0, 5.0, 7.0]), 2), [1, 2, 4, 6]
    )


def test_strips_show_every_token_and_both_totals():
    pair = PairStrips(strip([0.5, -1.0, 0.25]), strip([-0.5] * 25))

    figure = heat_strips(pair, (["$x", "_", "</s>"], ["t"] * 25))

    shown = texts(figure.axes[0])
    assert shown[:4] == ["chosen: log-ratio -0.25 nats", "$x", "_", "</s>"]
    assert shown[4] == "rejected: log-ratio -12.50 nats"
    assert len(shown) == 2 + 3 + 25
    # title, one line of chosen, title, two lines of rejected
    assert figure.axes[0].images[0].get_array().shape == (5, 20)
    png_bytes(figure)
