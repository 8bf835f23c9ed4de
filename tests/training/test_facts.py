"""Tests of `rlaif_jax.training.facts`."""

import numpy as np

from rlaif_jax.data.encoded import EncodedExample, EncodedPair, Fate
from rlaif_jax.data.packing import Example, Pair, pack, pad
from rlaif_jax.models.flops import TokenCounts, forward_flops, training_flops
from rlaif_jax.training.facts import batch_facts, item_metrics

PAIRS = [Pair([4, 5], [5, 6, 1], [7, 1]), Pair([4], [6, 1], [6, 1])]


def encoded(pair, truncated, ended):
    return EncodedPair.create(pair, Fate(truncated, ended))


def test_what_ids_tell_by_hand():
    assert item_metrics(PAIRS) == {
        "num_tokens": 2 + 3 + 2 + 2 + 1 + 2 + 1 + 2,
        "lengths/prompts": 1.5,
        "lengths/chosen": 2.5,
        "lengths/rejected": 2.0,
        "pairs/identical": 0.5,
    }


def test_what_became_of_texts_by_hand():
    items = [
        encoded(PAIRS[0], (True, False, True), (True, False)),
        encoded(PAIRS[1], (False, False, False), (True, True)),
    ]
    rates = item_metrics(items)
    assert rates["truncated/prompts"] == 0.5
    assert rates["truncated/completions"] == 0.25
    assert rates["ends_with_eos/chosen"] == 1.0
    assert rates["ends_with_eos/rejected"] == 0.5
    # of one of them nobody knows
    assert "truncated/prompts" not in item_metrics([items[0], PAIRS[1]])


def test_an_example_has_one_side():
    example = EncodedExample.create(
        Example([4, 5], [6, 1]), Fate((False, True), (False,))
    )
    assert item_metrics([example]) == {
        "num_tokens": 4.0,
        "lengths/prompts": 2.0,
        "lengths/chosen": 2.0,
        "truncated/prompts": 0.0,
        "truncated/completions": 1.0,
        "ends_with_eos/chosen": 0.0,
    }


def test_work_counts_what_the_rows_hold(tiny):
    config = tiny.replace(sliding_window=3)
    for rows in (pack(PAIRS, length=16), pad(PAIRS, length=8)):
        work = batch_facts(config, PAIRS, [rows]).work
        assert work.tokens == np.sum(rows.segment_ids > 0)
        assert work.places == rows.token_ids.size
        # a query at position p may read p + 1 keys, and three at most
        seen = rows.positions[rows.segment_ids > 0] + 1
        attended, windowed = seen.sum(), np.minimum(seen, 3).sum()
        counts = TokenCounts(work.tokens, 9, int(attended), int(windowed))
        assert work.flops == training_flops(config, counts)
        scored = batch_facts(config, PAIRS, [rows], num_scored=1).work
        assert scored.flops - work.flops == forward_flops(config, counts) // 2


def test_parts_of_a_batch_add_up(tiny):
    whole = batch_facts(tiny, PAIRS, [pack(PAIRS, length=8)])
    parts = [pack([pair], length=8) for pair in PAIRS]
    both = batch_facts(tiny, PAIRS, parts)
    assert both.metrics == whole.metrics
    assert both.work.flops == whole.work.flops
    assert both.work.places == sum(part.token_ids.size for part in parts)
