"""Tests of `rlaif_jax.losses.head`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.losses.head import Head, slot_logps
from rlaif_jax.sharding.mesh import build_mesh

CAPS = [None, 3.0]


def inputs(rows=8, slots=10, width=16, words=64, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    return (
        jnp.asarray(rng.normal(size=(rows, slots, width)), dtype),
        jnp.asarray(rng.normal(size=(width, words)), dtype),
        jnp.asarray(rng.integers(0, words, (rows, slots)), jnp.int32),
    )


def full(hidden, kernel, targets, head):
    """The same with all logits at once, differentiated by JAX."""
    logits = hidden @ kernel
    if head.softcap:
        logits = head.softcap * jnp.tanh(logits / head.softcap)
    return jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1)[
        ..., 0
    ]


def value_and_gradients(logps, arguments, head):
    """Log-probabilities, and gradients of a sum with uneven weights."""
    hidden, kernel, targets = arguments
    weights = jnp.linspace(-1.0, 2.0, targets.size, dtype=hidden.dtype)
    weights = weights.reshape(targets.shape)

    def total(hidden, kernel):
        found = logps(hidden, kernel, targets, head)
        return jnp.sum(found * weights), found

    gradient = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))
    (by_hidden, by_kernel), found = gradient(hidden, kernel)
    return found, by_hidden, by_kernel


def test_two_words_by_hand():
    hidden, kernel = jnp.asarray([[[2.0]]]), jnp.asarray([[1.0, 0.5]])
    targets = jnp.asarray([[1]])
    # logits 2 and 1: log p(1) = 1 - log(e^2 + e) = -log(1 + e)
    found = slot_logps(hidden, kernel, targets, Head(None, 1))
    np.testing.assert_allclose(found, [[-np.log1p(np.e)]], rtol=1e-6)
    # capped at 1: tanh(2), tanh(1)
    capped = slot_logps(hidden, kernel, targets, Head(1.0, 1))
    gap = np.tanh(2.0) - np.tanh(1.0)
    np.testing.assert_allclose(capped, [[-np.log1p(np.exp(gap))]], rtol=1e-6)


@pytest.mark.parametrize("softcap", CAPS)
@pytest.mark.parametrize("chunk", [1, 3, 10, 64])
def test_chunks_give_what_all_logits_give(chunk, softcap):
    head = Head(softcap, chunk)
    chunked = value_and_gradients(slot_logps, inputs(), head)
    whole = value_and_gradients(full, inputs(), head)
    for found, expected in zip(chunked, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("softcap", CAPS)
@pytest.mark.parametrize("chunk", [4, 10])
def test_exact_in_float64(chunk, softcap):
    with jax.enable_x64(True):
        arguments = inputs(dtype=jnp.float64)
        chunked = value_and_gradients(slot_logps, arguments, Head(softcap, chunk))
        whole = value_and_gradients(full, arguments, Head(softcap, chunk))
        for found, expected in zip(chunked, whole, strict=True):
            assert found.dtype == jnp.float64
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("softcap", "chunk"), [(None, 4), (3.0, 4), (3.0, 10)])
@pytest.mark.parametrize(
    "axes",
    [
        {"fsdp": 8},
        {"data": 2, "fsdp": 2, "tensor": 2},
        {"tensor": 8},
        {"fsdp": 2, "sequence": 4},
    ],
    ids=str,
)
def test_every_mesh_gives_what_one_device_gives(axes, softcap, chunk):
    head = Head(softcap, chunk)
    expected = value_and_gradients(slot_logps, inputs(), head)
    with jax.set_mesh(build_mesh(MeshConfig(**({"fsdp": 1} | axes)))):
        found = value_and_gradients(slot_logps, inputs(), head)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def test_bfloat16_products_are_summed_in_float32():
    arguments = inputs(dtype=jnp.bfloat16)
    found, by_hidden, by_kernel = value_and_gradients(
        slot_logps, arguments, Head(None, 4)
    )
    assert found.dtype == jnp.float32
    assert by_hidden.dtype == by_kernel.dtype == jnp.bfloat16
    wide = (arguments[0].astype(jnp.float32), arguments[1].astype(jnp.float32))
    exact = value_and_gradients(full, (*wide, arguments[2]), Head(None, 4))
    np.testing.assert_allclose(found, exact[0], atol=1e-4)
    for one, other in zip((by_hidden, by_kernel), exact[1:], strict=True):
        error = np.linalg.norm(one.astype(jnp.float32) - other)
        assert error < 0.01 * np.linalg.norm(other)


def test_extreme_logits_are_finite():
    hidden, kernel, targets = inputs()
    results = value_and_gradients(
        slot_logps, (1e3 * hidden, 1e2 * kernel, targets), Head(None, 4)
    )
    assert all(np.isfinite(part).all() for part in results)


def test_logits_are_made_again_only_where_there_are_several_chunks():
    arguments = inputs()

    def products(chunk):
        def total(hidden, kernel):
            return slot_logps(hidden, kernel, arguments[2], Head(None, chunk)).sum()

        program = str(jax.make_jaxpr(jax.grad(total, (0, 1)))(*arguments[:2]))
        return program.count("dot_general")

    assert (products(5), products(10)) == (4, 3)


def test_memory_does_not_grow_with_vocabulary_times_tokens():
    def temporaries(words):
        arguments = inputs(rows=4, slots=512, width=32, words=words)

        def total(hidden, kernel):
            return slot_logps(hidden, kernel, arguments[2], Head(None, 16)).sum()

        compiled = jax.jit(jax.grad(total, (0, 1))).lower(*arguments[:2]).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    slope = (temporaries(8192) - temporaries(2048)) / (8192 - 2048)
    # a word costs some chunks of 4 * 16 logits and columns of 32 in the kernel's
    # gradient; all 4 * 512 logits would be 8,192 bytes
    assert slope < 6 * 4 * (4 * 16 + 32)
