"""Tests of `rlaif_jax.models.attending.blocks`; its cells are in `test_reading`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.models.attending import blocks, dense
from rlaif_jax.models.attending.rule import Rule

RULE = Rule(0.25, None, None)


def both(places, heads, rule=RULE):
    """What is read densely and in blocks, with the gradients of its weighted sum."""
    is_text = (places.segments > 0)[:, :, None, None, None]
    wanted = jax.random.normal(jax.random.key(9), heads.q.shape) * is_text

    @partial(jax.jit, static_argnums=0)
    def run(module, heads):
        reading = module.prepare(places, rule)
        read, pull = jax.vjp(lambda h: module.read(h, reading, rule), heads)
        return jnp.where(is_text, read, 0.0), *pull(wanted.astype(read.dtype))[0]

    return run(dense, heads), run(blocks, heads)


def test_long_rows_of_every_size_of_text(rows_of, heads_of):
    # 5 blocks of 64; texts that begin, end and lie on the edges of blocks
    places = rows_of([1, 63, 65, 127, 1, 2], [300], [128, 64, -3, 90], length=300)
    expected, actual = both(places, heads_of(3, groups=2, length=300))
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=3e-5)


def test_large_scores_do_not_overflow(rows_of, heads_of):
    places = rows_of([100, 90], length=200)
    expected, actual = both(
        places, heads_of(1, groups=1, length=200), Rule(100.0, None, None)
    )
    assert all(np.isfinite(part).all() for part in actual)
    np.testing.assert_allclose(actual[0], expected[0], atol=1e-4)


def test_padding_reads_nothing_and_gets_no_gradient(rows_of, heads_of):
    places, heads = rows_of([40], [], length=80), heads_of(2, groups=2, length=80)

    @jax.jit
    def compute(heads):
        reading = blocks.prepare(places, RULE)
        read, pull = jax.vjp(lambda h: blocks.read(h, reading, RULE), heads)
        return read, pull(jnp.ones_like(read))[0]

    read, gradients = compute(heads)
    assert np.isfinite(read).all()
    assert (read[0, 40:] == 0.0).all()
    assert (read[1] == 0.0).all()
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert (gradient[1] == 0.0).all()


def test_bfloat16_is_summed_in_float32(rows_of, heads_of):
    places = rows_of([90, 60], length=150)
    halves = heads_of(1, groups=2, length=150, dtype="bfloat16")
    wide = jax.tree.map(lambda part: part.astype(jnp.float32), halves)
    (exact, _), (_, actual) = both(places, wide), both(places, halves)
    for a, e in zip(actual, exact, strict=True):
        assert a.dtype == jnp.bfloat16
        error = np.linalg.norm(a.astype(jnp.float32) - e) / np.linalg.norm(e)
        assert error < 0.01  # a bfloat16 has 8 bits


def test_a_row_out_of_order_is_nan_and_the_others_are_not(rows_of, heads_of):
    places = rows_of([16], [16], length=16)
    swapped = places.positions.at[1, 3].set(9)
    reading = blocks.prepare(places._replace(positions=swapped), RULE)
    compute = jax.jit(blocks.read, static_argnums=2)
    read = compute(heads_of(2, groups=1, length=16), reading, RULE)
    assert np.isfinite(read).all(axis=(1, 2, 3, 4)).tolist() == [True, False]


def test_memory_does_not_grow_with_the_square_of_the_row(rows_of, heads_of):
    def temporary_bytes(module, length):
        places = rows_of([length], length=length)
        heads = heads_of(1, groups=1, length=length)

        def total(heads):
            return module.read(heads, module.prepare(places, RULE), RULE).sum()

        compiled = jax.jit(jax.grad(total)).lower(heads).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # a part is full from 1024 tokens on; the rest is the row's own vectors
    assert temporary_bytes(blocks, 4096) < 4.5 * temporary_bytes(blocks, 1024)
    assert temporary_bytes(blocks, 4096) < 0.1 * temporary_bytes(dense, 4096)


@pytest.mark.gpu
@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU")
def test_blocks_on_a_gpu(rows_of, heads_of):
    places = rows_of([300, 400, 200], length=1024)
    expected, actual = both(places, heads_of(1, groups=2, length=1024, width=64))
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-3)  # products in TF32
