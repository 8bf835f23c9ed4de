"""Tests of `rlaif_jax.labeling.agreement`."""

import math

import numpy as np
import pytest

from rlaif_jax.labeling.agreement import USABLE, agreement
from rlaif_jax.records import Verdict

FIRST, SECOND, TIE = USABLE


def spread(counts):
    """Both judges' verdicts that give a table of counts."""
    a, b = [], []
    for (mine, yours), n in counts.items():
        a += [mine] * n
        b += [yours] * n
    return a, b, np.arange(len(a))


def test_hand_worked_kappa():
    # equal in 35 of 50: .7; by chance .5 * .6 + .5 * .4 = .5; kappa = .2 / .5
    table = {
        (FIRST, FIRST): 20,
        (FIRST, SECOND): 5,
        (SECOND, FIRST): 10,
        (SECOND, SECOND): 15,
    }
    found = agreement(*spread(table))
    assert (found.n, found.share.value) == (50, pytest.approx(0.7))
    assert found.kappa.value == pytest.approx(0.4)
    assert found.counts["second"] == {"first": 10, "second": 15, "tie": 0}


def published_error(counts):
    """Fleiss, Cohen and Everitt (1969), Eq. 13, as it is printed."""
    p = counts / counts.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    o, e = np.trace(p), float(rows @ columns)
    kappa = (o - e) / (1 - e)
    a = sum(
        p[i, i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in range(len(p))
    )
    b = (1 - kappa) ** 2 * sum(
        p[i, j] * (columns[i] + rows[j]) ** 2
        for i in range(len(p))
        for j in range(len(p))
        if i != j
    )
    c = (kappa - e * (1 - kappa)) ** 2
    return math.sqrt((a + b - c) / (counts.sum() * (1 - e) ** 2))


def test_the_error_of_kappa_is_the_published_one():
    counts = np.array([[30, 7, 4], [9, 25, 2], [3, 6, 14]])
    table = {
        (mine, yours): int(counts[i, j])
        for i, mine in enumerate(USABLE)
        for j, yours in enumerate(USABLE)
    }
    found = agreement(*spread(table)).kappa
    expected = published_error(counts) * math.sqrt(100 / 99)
    assert found.standard_error == pytest.approx(expected, rel=1e-12)
    assert found.high - found.value == pytest.approx(1.96 * expected)


def test_only_usable_verdicts_of_both_count():
    critic = [FIRST, Verdict.FAILED, SECOND, TIE, None]
    other = [FIRST, FIRST, None, TIE, TIE]
    found = agreement(critic, other, np.arange(5))
    assert (found.n, found.share.value) == (2, 1.0)


def test_judges_who_never_differ_have_no_kappa():
    found = agreement([TIE] * 4, [TIE] * 4, np.arange(4))
    assert (found.share.value, found.kappa) == (1.0, None)
    assert agreement([], [], np.arange(0)).share is None
