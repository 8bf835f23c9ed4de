"""Tests of `rlaif_jax.training.reference`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.data.rows import Pair, pair_rows
from rlaif_jax.errors import InternalError
from rlaif_jax.models import init_params, logical_axes
from rlaif_jax.sharding.placement import place_params
from rlaif_jax.training.reference import ReferenceLogps, reference_identity

PAIRS = [Pair([2, 3], [4, 1], [5, 6, 1]), Pair([7], [8, 1], [9, 1])]
ROWS = pair_rows(PAIRS, 8)


class Score:
    """Counts its calls; scores row i as [-i, -i - 0.1]."""

    def __init__(self):
        self.calls = 0

    def __call__(self, placed):
        self.calls += 1
        first = -jnp.arange(len(placed.token_ids), dtype=jnp.float32)
        return jnp.stack([first, first - 0.1], axis=1)


def test_pairs_are_scored_once_and_then_read(tmp_path):
    score = Score()
    first = ReferenceLogps(tmp_path, score, identity="a").of(ROWS, ROWS)
    again = ReferenceLogps(tmp_path, score, identity="a").of(ROWS, ROWS)
    assert score.calls == 1
    np.testing.assert_array_equal(first, np.float32([[0, -0.1], [-1, -1.1]]))
    np.testing.assert_array_equal(first, again)
    assert again.dtype == np.float32


def test_a_known_pair_keeps_its_first_score_among_new_ones(tmp_path):
    logps = ReferenceLogps(tmp_path, Score(), identity="a")
    known = logps.of(pair_rows(PAIRS[:1], 8), pair_rows(PAIRS[:1], 8))
    turned = pair_rows(PAIRS[::-1], 8)
    assert logps.of(turned, turned)[1].tolist() == known[0].tolist()


@pytest.mark.parametrize(
    "changed",
    [
        Pair([2, 3], [5, 6, 1], [4, 1]),  # sides swapped
        Pair([2], [3, 4, 1], [3, 5, 6, 1]),  # same ids, other boundary
        Pair([2, 3], [4], [5, 6, 1]),  # without its end
    ],
)
def test_a_changed_pair_is_another_pair(tmp_path, changed):
    score = Score()
    logps = ReferenceLogps(tmp_path, score, identity="a")
    logps.of(pair_rows(PAIRS[:1], 8), pair_rows(PAIRS[:1], 8))
    logps.of(pair_rows([changed], 8), pair_rows([changed], 8))
    assert score.calls == 2


def test_another_reference_trusts_nothing(tmp_path):
    score = Score()
    ReferenceLogps(tmp_path, score, identity="a").of(ROWS, ROWS)
    ReferenceLogps(tmp_path, score, identity="b").of(ROWS, ROWS)
    assert score.calls == 2


@pytest.mark.parametrize("damage", ["flip", "tear"])
def test_damaged_lines_are_scored_again(tmp_path, damage):
    score = Score()
    logps = ReferenceLogps(tmp_path, score, identity="a").of(ROWS, ROWS)
    path = tmp_path / "a.jsonl"
    content = path.read_text()
    damaged = content.replace("-1.0", "-2.0") if damage == "flip" else content[:-9]
    path.write_text(damaged)
    again = ReferenceLogps(tmp_path, score, identity="a").of(ROWS, ROWS)
    np.testing.assert_array_equal(again, logps)
    assert score.calls == 2
    assert path.read_text() == content


def test_scores_that_are_not_finite_are_refused(tmp_path):
    logps = ReferenceLogps(
        tmp_path, lambda placed: jnp.full((2, 2), jnp.nan), identity="a"
    )
    with pytest.raises(InternalError, match="not finite"):
        logps.of(ROWS, ROWS)
    assert not (tmp_path / "a.jsonl").exists()


def test_identity_tells_weights_and_precision_apart(tiny, params):
    identity = reference_identity(tiny, params)
    assert identity == reference_identity(tiny, jax.tree.map(jnp.copy, params))
    assert identity != reference_identity(tiny, init_params(tiny, jax.random.key(1)))
    assert identity != reference_identity(
        tiny.replace(compute_dtype="bfloat16"), params
    )
    embedding = params["embedding"]
    for changed in (
        embedding.at[3, 4].add(1e-7),
        embedding.at[jnp.array([3, 4])].set(embedding[jnp.array([4, 3])]),
    ):
        assert identity != reference_identity(tiny, params | {"embedding": changed})


def test_identity_does_not_depend_on_the_devices(tiny, params, eight_devices):
    sharded = place_params(params, logical_axes(tiny), eight_devices)
    assert reference_identity(tiny, sharded) == reference_identity(tiny, params)
