"""Faults on demand."""

import collections

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.lab.faults import Faults


def test_nothing_goes_wrong_by_default():
    assert {Faults().at(number) for number in range(100)} == {None}


def test_each_fault_has_its_share():
    faults = Faults(rate_limited=0.3, server_error=0.2, html=0.1, dropped=0.1)
    counts = collections.Counter(faults.at(number) for number in range(3000))
    # four standard errors: at most 4 * sqrt(.3 * .7 / 3000) = .034
    for fault, share in {"rate_limited": 0.3, "server_error": 0.2, None: 0.3}.items():
        assert counts[fault] / 3000 == pytest.approx(share, abs=0.034)
    assert counts["truncated"] == 0


def test_a_request_number_meets_the_same_fault_again_unless_the_seed_differs():
    faults, other = Faults(html=0.5), Faults(html=0.5, seed=1)
    first = [faults.at(number) for number in range(100)]
    assert first == [faults.at(number) for number in range(100)]
    assert first != [other.at(number) for number in range(100)]


@pytest.mark.parametrize("bad", [{"html": -0.1}, {"html": 0.6, "dropped": 0.6}])
def test_shares_that_are_none_are_refused(bad):
    with pytest.raises(UsageError, match="shares of faults"):
        Faults(**bad)
