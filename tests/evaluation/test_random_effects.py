"""Tests of `rlaif_jax.evaluation.random_effects`."""

import re
from pathlib import Path

import numpy as np
import pytest

from rlaif_jax.evaluation.random_effects import (
    contrast_interval,
    seed_spread,
    share_interval,
    variance_parts,
)

WINS = (0.48, 0.66, 0.79, 0.72)  # as in the embedded lab
DOCUMENT = Path(__file__).parents[2] / "docs" / "statistics.md"


DESIGNS = {  # as docs/statistics.md names them
    "usual": {},
    "prompts unlike": {"shared": 0.0, "own": 0.0},
    "prompts dominate": {"shared": 0.6, "own": 0.35},
    "seeds alike": {"alike": 0.5},
    "two arms": {"wins": WINS[:2]},
    "one restless arm": {"restless": (0.3, 1.0, 0.3, 0.3)},
    "near the edge": {"wins": (0.94, 0.97), "draws": 0.02},
}


def design(name, spread):
    """Wins and model of a row of the document's table."""
    model = dict(DESIGNS[name])
    wins = model.pop("wins", WINS)
    restless = model.pop("restless", (1.0,) * len(wins))
    return wins, {"spread": [spread * much for much in restless]} | model


def holds(studies, wins):
    """How often the interval of arm 1, and that of arm 1 less 0, holds the truth."""
    parts = [variance_parts(arm) for arm in studies]
    spread = seed_spread(parts)
    rate = share_interval(parts[1], spread)
    twice = spread._replace(seeds=2 * spread.seeds, rest=2 * spread.rest)
    gap = contrast_interval(variance_parts(studies[1] - studies[0]), twice)
    truths = (wins[1], wins[1] - wins[0])
    return [
        float(((one.low <= truth) & (truth <= one.high)).mean())
        for one, truth in zip((rate, gap), truths, strict=True)
    ]


def test_parts_by_hand():
    # d = [[1 0 1] [0 0 1]]: m = .5 0 1 (variance 1/4), g = 2/3 1/3 (variance 1/18);
    # left over are +-1/3, +-1/6, +-1/6: squares sum to 1/3, over 1 * 2 degrees
    parts = variance_parts(np.array([[[1.0, 0, 1], [0, 0, 1]]]))
    assert parts.mean == pytest.approx(0.5)
    assert parts.prompts == pytest.approx(1 / 12)
    assert parts.seeds == pytest.approx(1 / 18)
    assert parts.rest == pytest.approx(1 / 18)


def test_satterthwaite_by_hand():
    # five seeds, four prompts that agree: all doubt is of the seeds, 4 degrees
    d = np.repeat(np.array([[[0.1], [0.2], [0.3], [0.4], [0.5]]]), 4, axis=2)
    parts = variance_parts(d)
    found = contrast_interval(parts, seed_spread([parts]))
    assert found.degrees == pytest.approx(4.0)
    assert found.standard_error == pytest.approx(np.sqrt(0.025 / 5))


def test_one_seed_counts_prompts_alone():
    parts = variance_parts(np.array([[[1.0, 0, 0, 1]]]))
    found = contrast_interval(parts, seed_spread([parts]))
    assert (found.degrees, found.seed_error) == (3.0, 0.0)


@pytest.mark.parametrize(
    ("seeds", "prompts", "model"),
    [
        (1, 100, {}),
        (1, 400, {"shared": 0.0, "own": 0.0}),
        (2, 100, {"spread": 0.033}),  # the widest that the lab has shown
        (2, 400, {"spread": 0.02}),
        (2, 200, {"spread": 0.1}),  # seeds dominate
        (3, 200, {"spread": 0.02}),
        (3, 100, {"spread": 0.1}),
        (5, 100, {"spread": 0.02, "shared": 0.0, "own": 0.0}),
        (5, 100, {"spread": 0.1}),
        (5, 100, {"spread": 0.02, "shared": 0.6, "own": 0.35}),  # prompts dominate
        (5, 100, {"spread": 0.033, "alike": 0.5}),  # a bad seed is bad for all arms
        (10, 100, {"spread": 0.02}),
    ],
)
def test_intervals_hold_the_truth_in_95_of_100_studies(
    simulated_studies, seeds, prompts, model
):
    studies = simulated_studies(WINS, seeds=seeds, prompts=prompts, **model)
    for share in holds(studies, WINS):
        assert 0.93 <= share <= 0.97


@pytest.mark.parametrize(("seeds", "prompts"), [(1, 200), (5, 100)])
def test_they_do_so_near_the_edge(simulated_studies, seeds, prompts):
    wins = (0.94, 0.97)
    studies = simulated_studies(wins, seeds=seeds, prompts=prompts, draws=0.02)
    for share in holds(studies, wins):
        assert 0.925 <= share <= 0.985


def test_with_one_seed_other_runs_are_outside_as_documented(simulated_studies):
    studies = simulated_studies(WINS, seeds=1, prompts=400, spread=0.033)
    assert max(holds(studies, WINS)) < 0.80


@pytest.mark.slow
def test_the_documented_coverage_is_what_simulation_gives(simulated_studies):
    row = r"^\| ([\w ]+) \| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$"
    rows = re.findall(row, DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) > 15
    for name, seeds, prompts, spread, rate, gap in rows:
        wins, model = design(name, float(spread) / 100)
        sizes = {"seeds": int(seeds), "prompts": int(prompts)}
        found = holds(simulated_studies(wins, **sizes, **model), wins)
        documented = [float(rate) / 100, float(gap) / 100]
        assert found == pytest.approx(documented, abs=0.0051), name
