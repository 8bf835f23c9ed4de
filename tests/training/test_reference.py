"""Tests of `rlaif_jax.training.reference`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.data.packing import Pair, lay_out, pack, plan_packed
from rlaif_jax.errors import InternalError, UsageError
from rlaif_jax.models import init_params, logical_axes
from rlaif_jax.sharding.placement import place_params
from rlaif_jax.training.logp_store import LogpStore
from rlaif_jax.training.reference import (
    ReferenceLogps,
    ScoredSlots,
    reference_identity,
)

PAIRS = [Pair([2, 3], [4, 1], [5, 6, 1]), Pair([7], [8, 1], [9, 1])]


class Score:
    """Counts its calls; the n-th scores slot c of every row as -(n + c / 10)."""

    def __init__(self):
        self.calls = 0

    def __call__(self, placed):
        self.calls += 1
        slots = jnp.arange(placed.sources.shape[1]) / 10
        logps = jnp.broadcast_to(-(self.calls + slots), placed.sources.shape)
        return ScoredSlots(logps, jnp.asarray(placed.sequences))


def rows_of(pairs):
    return pack(pairs, length=16)


def logps(folder, score, pairs=PAIRS, *, identity="a"):
    """Of one batch, by a reference that is opened anew."""

    def store():
        return LogpStore(folder, identity=identity, writer="run")

    rows = rows_of(pairs)
    return ReferenceLogps(store, score).of(pairs, rows, rows)


def test_pairs_are_scored_once_and_then_read(tmp_path):
    score = Score()
    first, again = logps(tmp_path, score), logps(tmp_path, score)
    assert score.calls == 1
    # nine completion tokens in one row, the tenth slot is no one's
    expected = [-1.0, -1.1, -1.2, -1.3, -1.4, -1.5, -1.6, -1.7, -1.8, 0.0]
    np.testing.assert_allclose(first, [expected], rtol=1e-6)
    np.testing.assert_array_equal(first, again)
    assert again.dtype == np.float32


def test_a_known_pair_keeps_its_first_score_wherever_it_lies(tmp_path):
    score = Score()
    known = logps(tmp_path, score, PAIRS[:1])[0, :5]
    turned = logps(tmp_path, score, PAIRS[::-1])
    assert score.calls == 2
    # the new pair's four tokens come first, then the known pair's five
    np.testing.assert_allclose(turned[0, :4], [-2.0, -2.1, -2.2, -2.3], rtol=1e-6)
    np.testing.assert_array_equal(turned[0, 4:9], known)


def test_every_process_has_what_its_own_rows_need(tmp_path):
    plan = plan_packed(PAIRS, length=10, multiple=4)  # a row each, and two of none
    (whole,) = lay_out([plan])
    assert whole.sequences.shape[0] == 4

    def store():
        return LogpStore(tmp_path, identity="a", writer="run")

    reference = ReferenceLogps(store, Score())
    expected = reference.of(PAIRS, whole, whole)
    for rows in (slice(0, 1), slice(1, 2), slice(1, 4)):
        (own,) = lay_out([plan], lambda num_rows, rows=rows: rows)
        found = reference.of(PAIRS, own, whole)
        np.testing.assert_array_equal(found, expected[rows])
    assert np.count_nonzero(expected, axis=1).tolist() == [5, 4, 0, 0]


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
    logps(tmp_path, score, PAIRS[:1])
    logps(tmp_path, score, [changed])
    assert score.calls == 2


def test_another_reference_trusts_nothing(tmp_path):
    score = Score()
    logps(tmp_path, score, identity="a")
    logps(tmp_path, score, identity="b")
    assert score.calls == 2


def test_scores_that_are_not_finite_are_refused(tmp_path):
    def score(placed):
        logps = jnp.full(placed.sources.shape, jnp.nan)
        return ScoredSlots(logps, jnp.asarray(placed.sequences))

    with pytest.raises(InternalError, match="not finite"):
        logps(tmp_path, score)
    assert (tmp_path / "a" / "run.logps").read_bytes() == b""


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="another place as reference_cache"):
        logps(tmp_path / "file", Score())


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
