"""Tests of `rlaif_jax.lab.faults`."""

import collections

import pytest

from rlaif_jax.config import LabConfig
from rlaif_jax.config_file import validate
from rlaif_jax.config_parts import FaultsConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.lab.faults import fault_at


def first(faults, number):
    return [fault_at(faults, n) for n in range(number)]


def test_nothing_goes_wrong_by_default():
    assert {*first(FaultsConfig(), 100)} == {None}


def test_each_fault_has_its_share():
    faults = FaultsConfig(rate_limited=0.3, server_error=0.2, html=0.1, dropped=0.1)
    counts = collections.Counter(first(faults, 3000))
    # four standard errors: at most 4 * sqrt(.3 * .7 / 3000) = .034
    for fault, share in {"rate_limited": 0.3, "server_error": 0.2, None: 0.3}.items():
        assert counts[fault] / 3000 == pytest.approx(share, abs=0.034)
    assert counts["truncated"] == 0


def test_a_request_number_meets_the_same_fault_again_unless_the_seed_differs():
    faults, other = FaultsConfig(html=0.5), FaultsConfig(html=0.5, seed=1)
    assert first(faults, 100) == first(faults, 100)
    assert first(faults, 100) != first(other, 100)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"html": -0.1}, r"faults\.html"),
        ({"html": 0.6, "dropped": 0.6}, r"sum to 1\.2, more than 1"),
        ({"teapot": 0.1}, r"unknown config key 'faults\.teapot'"),
    ],
)
def test_shares_that_are_none_are_refused(bad, message):
    with pytest.raises(UsageError, match=message):
        validate(LabConfig, {"faults": bad})
