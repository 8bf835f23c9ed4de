"""Tests of `rlaif_jax.labeling.backoff`."""

from rlaif_jax.labeling.backoff import Backoff


def test_delays_double_up_to_the_cap():
    backoff = Backoff(base_s=1.0, cap_s=5.0)
    delays = [backoff.delay_s(attempt, None, 1.0) for attempt in (1, 2, 3, 4, 5)]
    assert delays == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_takes_a_part_of_the_ceiling():
    assert Backoff(base_s=2.0).delay_s(1, None, 0.25) == 0.5


def test_the_servers_wish_is_never_undercut():
    assert Backoff().delay_s(1, 30.0, 0.5) == 30.0
    assert Backoff(base_s=100.0, cap_s=200.0).delay_s(1, 30.0, 0.5) == 50.0
