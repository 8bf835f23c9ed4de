"""Log-probabilities under the frozen reference: computed once a pair, kept on disk.

Shape letters beside the glossary: R rows, C completion slots of a row.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from rlaif_jax.checkpoint.agreement import on_first_process
from rlaif_jax.data.packing import PackedRows, Pair
from rlaif_jax.errors import InternalError
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.records import content_hash
from rlaif_jax.runtime import distributed
from rlaif_jax.training.logp_store import LogpStore


class ScoredSlots(NamedTuple):
    """The slots of a whole batch, wherever its rows were made."""

    logps: Float[Array, "R C"]
    sequences: Int[Array, "R C"]  # as of `PackedRows`


Score = Callable[[PackedRows], ScoredSlots]


class ReferenceLogps:
    """Log-probabilities of every completion token of pairs under the reference.

    A pair is known by its token ids, so a changed tokenizer, template, truncation or
    order of its sides is another pair. Only process 0 has the store, and tells.

    Attributes:
      num_missing: Pairs of the last batch that were new.
    """

    def __init__(self, store: Callable[[], LogpStore], score: Score):
        """Opens the store where it belongs.

        Args:
          store: Opens that of this reference; called by process 0.
          score: Of placed rows, whole on every process.
        """
        self.num_missing = 0
        self._store: LogpStore | None = None
        self._score = score

        def open_store() -> int:
            self._store = store()
            return 0

        on_first_process(open_store, what="open the reference's log-probabilities")

    def of(
        self, pairs: Sequence[Pair], rows: PackedRows, placed: PackedRows
    ) -> Float[np.ndarray, "R C"]:
        """The log-probabilities of one batch, scored if a pair is new.

        The whole batch is scored then, in the shape that training uses, so that a
        policy equal to the reference gives equal numbers.

        Args:
          pairs: Of the batch.
          rows: The rows of this process that they are laid out in.
          placed: All rows on the devices.

        Returns:
          One number for each slot of this process; 0 in no one's.

        Raises:
          InternalError: If one is not finite.
        """
        ends = np.cumsum(rows.lengths.sum(axis=1))
        values = np.zeros(ends[-1], np.float32)  # of all tokens, pair after pair
        by_pair = np.split(values, ends[:-1])  # parts of the same memory
        missing = list(range(len(pairs)))
        if self._store is not None:
            missing = self._fill(by_pair, [_key(pair) for pair in pairs])
        missing = distributed.broadcast({"missing": missing})["missing"]
        self.num_missing = len(missing)
        if missing:
            scored, sequences = map(np.asarray, jax.device_get(self._score(placed)))
            if not np.isfinite(scored).all():
                raise InternalError(
                    "a log-probability under the reference is not finite: look at the "
                    "start model's weights, or at the data with debug=true"
                )
            in_order = np.argsort(sequences.reshape(-1), kind="stable")[: ends[-1]]
            new = np.split(scored.reshape(-1)[in_order], ends[:-1])
            for pair in missing:
                by_pair[pair][:] = new[pair]
            if self._store is not None:
                self._store.add(
                    {_key(pairs[pair]): by_pair[pair].copy() for pair in missing}
                )
        return _in_slots(distributed.broadcast_array(values), rows)

    def knows(self, pairs: Sequence[Pair]) -> bool:
        """Whether all of these are scored already; the same on every process."""
        found = {"all": True}
        if self._store is not None:
            found["all"] = all(_key(pair) in self._store.known for pair in pairs)
        return distributed.broadcast(found)["all"]

    def _fill(
        self,
        by_pair: list[Float[np.ndarray, " _"]],
        keys: list[bytes],
    ) -> list[int]:
        """Puts what is known in its place; gives the pairs of which nothing is."""
        assert self._store is not None  # on process 0
        missing = []
        for pair, key in enumerate(keys):
            known = self._store.known.get(key)
            if known is None:
                missing.append(pair)
            else:
                by_pair[pair][:] = known
        return missing


def reference_identity(config: TransformerConfig, params: Params) -> str:
    """A hash of a model's architecture, precision and weights.

    The weights are hashed where they are: sums of mixed bits do not depend on how
    they are sharded.
    """
    sums = jax.device_get(jax.jit(lambda tree: jax.tree.map(_mixed_sums, tree))(params))
    named = [
        (jax.tree_util.keystr(path), leaf.tolist())
        for path, leaf in jax.tree_util.tree_leaves_with_path(sums)
    ]
    return content_hash("reference", config.replace(remat="none").to_json(), named)


def _mixed_sums(leaf: Float[Array, "..."]) -> UInt32[Array, " 2"]:
    """Two sums, modulo 2^32, over the values' bits mixed with their places."""
    bits = jax.lax.bitcast_convert_type(leaf.astype(jnp.float32), jnp.uint32)
    place = jnp.zeros(leaf.shape, jnp.uint32)
    for axis, size in enumerate(leaf.shape):
        place = place * np.uint32(size) + jax.lax.broadcasted_iota(
            jnp.uint32, leaf.shape, axis
        )
    seeds = (np.uint32(0x9E3779B9), np.uint32(0x7F4A7C15))
    return jnp.stack([jnp.sum(_mixed(bits ^ _mixed(place + s))) for s in seeds])


def _mixed(bits: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Every bit of the result depends on all bits: MurmurHash3's last step."""
    bits = (bits ^ (bits >> 16)) * np.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * np.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


def _in_slots(
    values: Float[np.ndarray, " S"], rows: PackedRows
) -> Float[np.ndarray, "R C"]:
    """What is known of all tokens, pair after pair, in the slots of some rows."""
    sizes = rows.lengths.reshape(-1)
    flat = rows.sequences.reshape(-1)
    order = np.argsort(flat, kind="stable")
    sequences = flat[order]
    order = order[sequences < sizes.size]  # the others are no one's, and come last
    sequences = sequences[: len(order)]
    # a completion's slots are side by side: which of its tokens each is
    tokens = np.arange(len(order)) - np.searchsorted(sequences, sequences)
    firsts = np.cumsum(sizes) - sizes
    found = np.zeros(flat.size, np.float32)
    found[order] = values[firsts[sequences] + tokens]
    return found.reshape(rows.sequences.shape)


def _key(pair: Pair) -> bytes:
    """A hash of a pair's tokens and of where its parts begin."""
    hashed = hashlib.sha256(np.array([len(part) for part in pair], "<i4").tobytes())
    for part in pair:
        hashed.update(np.asarray(part, "<i4").tobytes())
    return hashed.digest()[:16]
