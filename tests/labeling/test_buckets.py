"""Tests of `rlaif_jax.labeling.buckets`: no real time."""

import pytest

from rlaif_jax.labeling.buckets import Bucket
from rlaif_jax.labeling.headers import Quota


class Clock:
    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_limit_per_minute_is_spent_evenly(clock):
    bucket = Bucket.of_minute(120, clock=clock)  # two a second
    for _ in range(2):
        assert bucket.wait_s(1) == 0.0
        bucket.take(1)
    assert bucket.wait_s(1) == 0.5
    clock.now += 0.5
    assert bucket.wait_s(1) == 0.0
    clock.now += 1000.0  # what is not used is not saved up
    bucket.take(2)
    assert bucket.wait_s(1) == 0.5


def test_a_call_that_needs_more_than_there_can_be_goes_and_leaves_a_debt(clock):
    bucket = Bucket.of_minute(600, clock=clock)  # ten a second, at most ten at once
    assert bucket.wait_s(1000) == 0.0
    bucket.take(1000)
    # 990 below zero: ten again after 100 s, one after 99.1 s
    assert bucket.wait_s(1000) == pytest.approx(100.0)
    assert bucket.wait_s(1) == pytest.approx(99.1)


def test_what_was_not_used_is_given_back(clock):
    bucket = Bucket(capacity=100.0, per_s=1.0, clock=clock)
    taken = bucket.take(80)
    assert bucket.wait_s(80) == 60.0
    bucket.settle(taken, 30)
    assert bucket.wait_s(80) == 10.0


def test_more_may_have_been_used_than_was_set_aside(clock):
    bucket = Bucket(capacity=100.0, per_s=1.0, clock=clock)
    bucket.settle(bucket.take(80), 95)
    assert bucket.wait_s(80) == 75.0


def test_the_servers_word_bounds_the_level(clock):
    bucket = Bucket.of_server(Quota(600.0, 600.0, None), clock=clock)  # ten a second
    taken = bucket.take(100)
    bucket.take(50)
    # 450 are left by our count; the server may have counted the second call or not
    for remaining in (500.0, 450.0):
        bucket.learn(Quota(600.0, remaining, None), taken)
        assert bucket.wait_s(460) == 1.0
    bucket.learn(Quota(600.0, 400.0, None), taken)  # somebody else spends, too
    assert bucket.wait_s(460) == 6.0
    bucket.learn(Quota(600.0, 600.0, None), taken)  # all is back, less the second call
    assert bucket.wait_s(560) == 1.0


def test_old_news_is_taken_as_such(clock):
    bucket = Bucket.of_server(Quota(600.0, 600.0, None), clock=clock)  # ten a second
    slow = bucket.take(100)
    for _ in range(4):
        bucket.settle(bucket.take(100), 100)
    # the server looked before the four, so 100 are left
    bucket.learn(Quota(600.0, 500.0, None), slow)
    assert bucket.wait_s(110) == 1.0
    clock.now += 20.0  # 200 have come back, of which the server could not know
    bucket.learn(Quota(600.0, 100.0, None), slow)
    assert bucket.wait_s(310) == 1.0


def test_a_server_may_change_its_limit(clock):
    bucket = Bucket.of_server(Quota(60.0, 60.0, None), clock=clock)
    bucket.learn(Quota(600.0, 600.0, None), bucket.take(1))
    assert bucket.wait_s(600) == 0.0
    bucket.take(600)
    assert bucket.wait_s(100) == 10.0


@pytest.mark.parametrize(
    ("quota", "wait_s"),
    [
        (Quota(60.0, 0.0, None), 1.0),
        (Quota(60.0, 0.0, 60.0), 1.0),
        (Quota(60.0, 0.0, 1.0), 1.0),  # a window that ends soon is not a faster limit
        (Quota(200.0, 0.0, 86400.0), 432.0),  # 200 a day
    ],
)
def test_a_limit_comes_back_in_a_minute_or_as_slowly_as_the_server_says(
    clock, quota, wait_s
):
    assert Bucket.of_server(quota, clock=clock).wait_s(1) == pytest.approx(wait_s)


def test_a_wait_is_over_when_it_was_waited_for(clock):
    bucket = Bucket.of_minute(7, clock=clock)
    for amount in range(1, 300):
        clock.now += bucket.wait_s(amount)
        assert bucket.wait_s(amount) == 0.0
        bucket.take(amount)


def test_a_share_of_a_limit_comes_back_as_much_slower(clock):
    bucket = Bucket.of_minute(600, clock=clock)  # ten a second, at most ten at once
    bucket.share(0.2)  # so two
    bucket.take(2)
    assert bucket.wait_s(1) == 0.5
    bucket.share(0.4)  # a larger share is not a gift
    assert bucket.wait_s(1) == 0.25
    clock.now += 100.0
    bucket.take(4)
    assert bucket.wait_s(1) == 0.25


def test_tasks_that_share_a_server_share_what_it_has_left(clock):
    quota = Quota(limit=600.0, remaining=100.0, reset_s=None)
    bucket = Bucket.of_server(quota, share=0.1, clock=clock)
    assert bucket.wait_s(10) == 0.0  # a tenth of what is left
    taken = bucket.take(10)
    assert bucket.wait_s(1) == pytest.approx(1.0)  # one a second
    bucket.settle(taken, 0)
    bucket.learn(Quota(limit=600.0, remaining=50.0, reset_s=None), taken)
    assert bucket.wait_s(5) == 0.0
    assert bucket.wait_s(6) == pytest.approx(1.0)
