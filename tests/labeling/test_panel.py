"""Tests of `rlaif_jax.labeling.panel`."""

import numpy as np
import pytest

from rlaif_jax.labeling.intervals import clustered_error
from rlaif_jax.labeling.panel import krippendorff_alpha, panel_measures

# Krippendorff (2011), section C: four observers, twelve units, nominal alpha .743
OBSERVERS = """
    1 2 3 3 2 1 4 1 2 . . .
    1 2 3 3 2 2 4 1 2 5 . 3
    . 3 3 3 2 3 4 2 2 5 1 .
    1 2 3 3 2 4 4 1 2 5 1 .
"""
P_FIRST = {"1": 1.0, "2": 0.0, "t": 0.5, "x": None}


def published():
    rows = [line.split() for line in OBSERVERS.strip().splitlines()]
    table = [[-1 if value == "." else int(value) - 1 for value in row] for row in rows]
    return np.array(table, np.int64).T


@pytest.fixture
def panel(judged):
    """Builds judged comparisons from what each juror said: votes of one as one word."""

    def one_seat(name, said):
        votes = [judged(p_first=P_FIRST[letter], critic=name).label for letter in said]
        if len(votes) == 1:
            return votes[0]
        return votes[0].model_copy(update={"jurors": tuple(votes)})

    def build(*comparisons):
        built = []
        for number, seats in enumerate(comparisons):
            label = judged(number).label
            jurors = tuple(one_seat(name, said) for name, said in seats.items())
            built.append(label.model_copy(update={"jurors": jurors}))
        return built

    return build


def measured(built):
    return panel_measures(built, np.arange(len(built)))


def test_alpha_is_that_of_krippendorffs_example():
    table = published()
    found = krippendorff_alpha(table, np.arange(len(table)))
    assert found.value == pytest.approx(0.743, abs=5e-4)
    assert (found.n, found.n_prompts) == (11, 11)  # the last unit has one rating


def test_hand_worked_alpha():
    # Three comparisons, two jurors: 1 1, 2 2, 1 2. n = 6, each category 3.
    # o = 1/6 (0 + 0 + (4 - 2) / 1) = 1/3; e = 6/5 (1 - 1/2) = 3/5; alpha = 4/9
    table = np.array([[0, 0], [1, 1], [0, 1]], np.int64)
    assert krippendorff_alpha(table, np.arange(3)).value == pytest.approx(4 / 9)


def test_alpha_needs_ratings_that_could_differ():
    silent = np.full((4, 2), -1, np.int64)
    assert krippendorff_alpha(silent, np.arange(4)) is None
    assert krippendorff_alpha(np.zeros((4, 2), np.int64), np.arange(4)) is None
    assert krippendorff_alpha(np.zeros((0, 0), np.int64), np.arange(0)) is None
    alone = np.array([[0, -1], [-1, 1]], np.int64)
    assert krippendorff_alpha(alone, np.arange(2)) is None


def test_alphas_error_is_that_of_a_jackknife():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    raters = [np.where(rng.random(400) < 0.7, truth, rng.integers(0, 3, 400))] * 2
    raters += [np.where(rng.random(400) < 0.5, -1, truth)]
    table = np.stack(raters, axis=1)
    table[rng.random(table.shape) < 0.1] = -1
    found = krippendorff_alpha(table, np.arange(400))
    left_out = np.array(
        [
            krippendorff_alpha(np.delete(table, i, axis=0), np.arange(399)).value
            for i in range(400)
        ]
    )
    influence = (left_out.mean() - left_out) * 399 / 400
    jackknife = clustered_error(influence, np.arange(400))
    assert found.standard_error == pytest.approx(jackknife, rel=0.02)


def test_votes_that_differ_are_repeat_flips(panel):
    # pairs of votes that differ: 2 of 3, 0 of 1, none counted of one usable vote
    built = panel({"one": "112"}, {"one": "22"}, {"one": "1x"})
    found = measured(built)
    assert found["repeat_flips"].value == pytest.approx((2 / 3 + 0) / 2)
    assert found["repeat_flips"].n == 2
    assert found["juror_agreement"] is None
    assert found["alpha"] is None


def test_jurors_agree_by_the_majority_of_their_votes(panel):
    built = panel(
        {"one": "1", "two": "112"},  # agree
        {"one": "1", "two": "122"},  # do not
        {"one": "t", "two": "t", "three": "2"},  # one pair of three does
        {"one": "1", "two": "x"},  # one verdict: does not count
    )
    found = measured(built)
    assert found["juror_agreement"].value == pytest.approx((1 + 0 + 1 / 3) / 3)
    assert found["repeat_flips"].value == pytest.approx(2 / 3)
    assert found["repeat_flips"].n == 2
    assert found["alpha"].n == 3


def test_labels_of_one_critic_have_no_panel(judged):
    assert set(measured([judged(0).label, judged(1).label]).values()) == {None}
