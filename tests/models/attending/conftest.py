"""Rows of every kind, as arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.models.attending.places import Places
from rlaif_jax.models.attending.rule import Heads

LENGTH = 120


def row(segments, length):
    """Positions, segments and branches of one row.

    Each of `segments` is the length of a text, or those of prompt, chosen, rejected; a
    negative number is so much padding.
    """
    columns = []
    number = 0
    for size in segments:
        if isinstance(size, int) and size < 0:
            columns.append(np.zeros((3, -size), int))
            continue
        number += 1
        prompt, chosen, rejected = (size, 0, 0) if isinstance(size, int) else size
        positions = [*range(prompt + chosen), *range(prompt, prompt + rejected)]
        branches = np.repeat([0, 1, 2], [prompt, chosen, rejected])
        columns.append(np.stack([positions, [number] * len(positions), branches]))
    columns.append(np.zeros((3, length - sum(c.shape[1] for c in columns)), int))
    return np.concatenate(columns, axis=1)


def places(*rows, length=LENGTH, has_branches=False):
    stacked = np.stack([row(segments, length) for segments in rows], axis=1)
    positions, segments, branches = jnp.asarray(stacked, jnp.int32)
    return Places(positions, segments, branches if has_branches else None)


def heads(num_rows, *, groups, length=LENGTH, dtype="float32", kv_heads=2, width=16):
    keys = jax.random.split(jax.random.key(0), 3)
    shape = (num_rows, length, kv_heads)
    return Heads(
        jax.random.normal(keys[0], (*shape, groups, width), dtype),
        jax.random.normal(keys[1], (*shape, width), dtype),
        jax.random.normal(keys[2], (*shape, width), dtype),
    )


@pytest.fixture(scope="session")
def rows_of():
    """Makes `Places` of rows, each a list of its segments."""
    return places


@pytest.fixture(scope="session")
def heads_of():
    """Makes random `Heads`."""
    return heads
