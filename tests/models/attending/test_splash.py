"""Tests of `rlaif_jax.models.attending.splash`; its cells are in `test_reading`.

That the kernel compiles for a TPU is in `end_to_end/test_tpu_compile.py`.
"""

from functools import partial

import jax
import numpy as np

from rlaif_jax.models.attending import splash
from rlaif_jax.models.attending.places import attention_mask
from rlaif_jax.models.attending.rule import Rule

RULE = Rule(0.25, None, None)


def test_two_calls_together_are_the_mask_of_pairs(rows_of):
    places = rows_of([(3, 2, 4), (1, 1, 1)], length=16, has_branches=True)
    reading = splash.prepare(places, RULE)
    causal = np.tri(16, dtype=bool)
    seen = [
        causal & (np.array(call.q)[0, :16, None] == np.array(call.kv)[0, None, :16])
        for call in (reading.first, reading.second)
    ]
    assert all(call.any(axis=1).all() for call in seen)  # no query without a key
    is_rejected = np.asarray(reading.is_rejected)[0, :16]
    joined = np.where(is_rejected[:, None], seen[1], seen[0])
    text = slice(0, 12)
    expected = attention_mask(places, places, window=None)[0]
    np.testing.assert_array_equal(joined[text], expected[text])


def test_rows_are_padded_to_the_kernel_s_lanes(rows_of):
    reading = splash.prepare(rows_of([100, 40], length=150), RULE)
    assert reading.first.q.shape == (1, 256)
    assert reading.second is None
    assert (reading.first.q[0, 140:] == 0).all()


def test_a_row_out_of_order_is_nan(rows_of, heads_of):
    places = rows_of([16], [16], length=16)
    positions = places.positions.at[1].multiply(2)  # a window would count other keys
    reading = splash.prepare(places._replace(positions=positions), RULE)
    heads = heads_of(2, groups=1, length=16)
    compute = partial(splash.read, rule=RULE, interpret=True)
    read = jax.jit(compute)(heads, reading)
    assert np.isfinite(read).all(axis=(1, 2, 3, 4)).tolist() == [True, False]
