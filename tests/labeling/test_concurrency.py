"""Tests of `rlaif_jax.labeling.concurrency`."""

from rlaif_jax.labeling.concurrency import Concurrency


def begin(concurrency, number=None):
    """Begins as many calls as allowed, or fewer; returns their episodes."""
    return [concurrency.begin() for _ in range(number or concurrency.limit)]


def answer(concurrency, episodes):
    for episode in episodes:
        concurrency.answered(episode)
        concurrency.end()


def clean_round(concurrency):
    answer(concurrency, begin(concurrency))


def limited_round(concurrency):
    for episode in begin(concurrency):
        concurrency.limited(episode)
        concurrency.end()


def test_it_begins_with_sixteen_or_a_quarter_of_what_is_allowed():
    assert Concurrency(max_in_flight=60).limit == 16
    assert Concurrency(max_in_flight=1024).limit == 256
    assert Concurrency(max_in_flight=3).limit == 3


def test_it_is_full_when_as_many_are_under_way():
    concurrency = Concurrency(max_in_flight=2)
    begin(concurrency, 1)
    assert not concurrency.is_full
    begin(concurrency, 1)
    assert concurrency.is_full and concurrency.under_way == 2
    concurrency.end()
    assert not concurrency.is_full


def test_clean_rounds_double_it_up_to_what_is_allowed():
    concurrency = Concurrency(max_in_flight=60)
    limits = []
    for _ in range(4):
        clean_round(concurrency)
        limits.append(concurrency.limit)
    assert limits == [32, 60, 60, 60]


def test_after_the_first_rate_limit_it_grows_by_five_percent():
    concurrency = Concurrency(max_in_flight=60)
    limited_round(concurrency)
    limits = [concurrency.limit]
    for _ in range(3):
        clean_round(concurrency)
        limits.append(concurrency.limit)
    # 16 * 0.7 = 11.2, then 11.76, 12.348, 12.9654
    assert limits == [11, 11, 12, 12]


def test_all_that_was_under_way_is_one_episode():
    concurrency = Concurrency(max_in_flight=60)
    episodes = begin(concurrency)
    for episode in episodes[:9]:
        concurrency.limited(episode)
        concurrency.end()
    answer(concurrency, episodes[9:])  # sent too fast as well: no reason to grow
    assert concurrency.limit == 11
    limited_round(concurrency)  # 11.2 * 0.7 = 7.84
    assert concurrency.limit == 7


def test_it_never_shrinks_below_one():
    concurrency = Concurrency(max_in_flight=2)
    for _ in range(5):
        limited_round(concurrency)
    assert concurrency.limit == 1


def round_with_faults(concurrency, number):
    episodes = begin(concurrency)
    for episode in episodes[:number]:
        concurrency.failed(episode)
        concurrency.end()
    answer(concurrency, episodes[number:])


def test_faults_keep_a_round_from_growing_and_shrink_nothing():
    concurrency = Concurrency(max_in_flight=60)
    round_with_faults(concurrency, 5)  # more than a quarter of 16
    assert concurrency.limit == 16
    clean_round(concurrency)
    assert concurrency.limit == 32


def test_a_few_faults_let_it_grow_by_five_percent():
    concurrency = Concurrency(max_in_flight=60)
    round_with_faults(concurrency, 4)
    round_with_faults(concurrency, 1)
    assert concurrency.limit == 17  # 16 * 1.05 ** 2 = 17.64
    clean_round(concurrency)
    assert concurrency.limit == 35


def test_one_refusal_of_ten_ends_the_doubling_and_shrinks_nothing():
    concurrency = Concurrency(max_in_flight=60)
    answer(concurrency, begin(concurrency, 1))
    for _ in range(20):
        answer(concurrency, begin(concurrency, 9))
        concurrency.limited(concurrency.begin())
        concurrency.end()
    assert concurrency.limit == 16  # ten at a time do not reach the limit
    clean_round(concurrency)
    clean_round(concurrency)
    assert concurrency.limit == 17


def test_calls_that_were_answered_long_ago_allow_no_more_than_three_refusals():
    concurrency = Concurrency(max_in_flight=4)
    for _ in range(100):
        clean_round(concurrency)
    episodes = [begin(concurrency, 1)[0] for _ in range(4)]
    for episode in episodes[:3]:
        concurrency.limited(episode)
        concurrency.end()
    assert concurrency.limit == 4
    concurrency.limited(episodes[3])
    assert concurrency.limit == 2  # 4 * 0.7 = 2.8


def test_faults_of_an_old_episode_do_not_hold_the_new_one_back():
    concurrency = Concurrency(max_in_flight=60)
    first, *others = begin(concurrency)
    concurrency.limited(first)
    concurrency.end()
    for episode in others:
        concurrency.failed(episode)
        concurrency.end()
    clean_round(concurrency)
    clean_round(concurrency)
    assert concurrency.limit == 12  # 11.2 * 1.05 ** 2


def test_what_is_not_used_does_not_grow():
    concurrency = Concurrency(max_in_flight=60)
    for _ in range(100):
        answer(concurrency, begin(concurrency, 4))
    assert concurrency.limit == 16


def test_what_is_allowed_may_change_and_what_was_learnt_stays():
    concurrency = Concurrency(max_in_flight=64)
    clean_round(concurrency)
    assert concurrency.limit == 32
    concurrency.allow(0)
    assert concurrency.is_full
    concurrency.allow(8)
    assert concurrency.limit == 8
    concurrency.allow(64)
    assert concurrency.limit == 32
    concurrency.allow(10)
    limited_round(concurrency)
    assert concurrency.limit == 7


def test_calls_that_end_while_none_is_allowed_take_nothing_away():
    concurrency = Concurrency(max_in_flight=64)
    episodes = begin(concurrency)
    concurrency.allow(0)
    answer(concurrency, episodes)
    concurrency.allow(64)
    assert concurrency.limit == 16
    episodes = begin(concurrency)
    concurrency.allow(0)
    for episode in episodes:
        concurrency.limited(episode)
        concurrency.end()
    concurrency.allow(64)
    assert concurrency.limit == 11
