"""Tests of `rlaif_jax.training.feed`."""

import pytest

from rlaif_jax.config_validation import ValidationConfig
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.errors import PreemptedError
from rlaif_jax.training.feed import Feed
from rlaif_jax.training.plan import ValidationSet


@pytest.fixture
def feed(plan):
    """A feed of numbers, with fields of its plan replaced."""

    def make(num_records, **changes):
        numbers = list(range(num_records))
        return Feed(MemorySource(numbers, fingerprint="numbers"), plan(**changes))

    return make


def prepared(feed, session):
    """All that a task is shown."""
    shown = []
    assert feed.prepare(shown.append, session)
    return shown


@pytest.mark.parametrize("num_records", [8, 20, 23])
@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_all_records_of_a_run_are_shown_in_its_batches(
    feed, session, num_records, epochs
):
    run = feed(num_records, epochs=epochs, microbatches=2)
    shown = prepared(run, session())
    batches = [batch.records for batch in run.stream()]
    assert [tuple(record for part in parts for record in part) for parts in shown] == (
        batches[: len(shown)]
    )
    assert all([len(part) for part in parts] == [4, 4] for parts in shown)
    seen = {record for parts in shown for part in parts for record in part}
    assert seen == {record for batch in batches for record in batch}
    assert len(shown) <= -(-num_records // 8) + 1


@pytest.mark.parametrize("num_records", [8, 10, 23])
def test_in_the_papers_order_records_that_one_epoch_leaves_out_are_shown_too(
    feed, session, num_records
):
    run = feed(num_records, epochs=4, microbatches=2, order="paper")
    shown = prepared(run, session())
    seen = {record for parts in shown for part in parts for record in part}
    assert seen == {record for batch in run.stream() for record in batch.records}
    assert len(seen) == num_records  # four epochs leave out others each


def test_a_run_of_few_steps_is_shown_what_it_takes(feed, session):
    assert len(prepared(feed(40, max_steps=2), session())) == 2


def test_a_stop_is_heeded(feed, session):
    with pytest.raises(PreemptedError, match="same command again"):
        feed(40).prepare(lambda parts: None, session(stop=lambda step: True))


@pytest.mark.parametrize("num_shown", [0, 5, 7])
def test_a_stop_is_heeded_before_every_batch_also_of_validation(
    feed, session, num_shown
):
    held_out = ValidationSet(
        records=list(range(100, 120)),
        loss_fn=lambda params, batch: (params, {}),
        config=ValidationConfig(every_steps=1),
        select=None,
        data={},
    )
    shown = []
    run = feed(40, epochs=1, validation=held_out)  # 5 batches, and 3 of validation
    stopping = session(stop=lambda step: len(shown) == num_shown)
    with pytest.raises(PreemptedError, match="same command again"):
        run.prepare(shown.append, stopping)
    assert len(shown) == num_shown
