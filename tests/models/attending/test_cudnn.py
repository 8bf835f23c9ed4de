"""Tests of `rlaif_jax.models.attending.cudnn`; its cells are in `test_reading`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.models.attending import cudnn, dense
from rlaif_jax.models.attending.rule import Rule


def test_lengths_are_those_of_one_text_and_other_rows_are_unfit(rows_of):
    places = rows_of([5], [8], [], [3, 2], [-2, 4], length=8)
    reading = cudnn.prepare(places, Rule(1.0, None, None))
    assert reading.lengths.tolist() == [5, 8, 0, 5, 4]
    assert reading.is_fit.tolist() == [True, True, True, False, False]


def test_padding_reads_nothing_and_gets_no_gradient(rows_of, heads_of):
    rule = Rule(0.25, None, 3)
    reading = cudnn.prepare(rows_of([5], [], length=8), rule)

    @jax.jit
    def compute(heads):
        read = partial(cudnn.read, rule=rule, implementation="xla")
        mixed, pull = jax.vjp(lambda heads: read(heads, reading), heads)
        return mixed, pull(jnp.ones_like(mixed))[0]

    mixed, gradients = compute(heads_of(2, groups=2, length=8))
    assert (mixed[0, 5:] == 0.0).all()
    assert (mixed[1] == 0.0).all()
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert (gradient[0, 5:] == 0.0).all()


@pytest.mark.gpu
@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU")
@pytest.mark.parametrize("window", [None, 40])
def test_the_kernel_reads_what_the_dense_backend_reads(rows_of, heads_of, window):
    rule, places = Rule(0.125, None, window), rows_of([200], [256], length=256)
    heads = heads_of(2, groups=2, length=256, dtype="bfloat16", width=64)
    is_text = (places.segments > 0)[:, :, None, None, None]
    results = []
    for module in (dense, cudnn):

        def total(heads, module=module):
            read = module.read(heads, module.prepare(places, rule), rule)
            return jnp.sum(jnp.sin(read.astype(jnp.float32)) * is_text)

        results.append(jax.tree.leaves(jax.jit(jax.value_and_grad(total))(heads)))
    for expected, actual in zip(*results, strict=True):
        expected, actual = (np.asarray(x, np.float32) for x in (expected, actual))
        error = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
        assert error < 0.02  # two roundings to bfloat16
