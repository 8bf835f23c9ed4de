"""Log-probabilities under the frozen reference: computed once a pair, kept on disk.

Shape letters beside the glossary: R rows, C completion slots of a row.
"""

import hashlib
from collections.abc import Callable, Sequence

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

Score = Callable[[PackedRows], Float[Array, "R C"]]


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
          score: Log-probabilities of placed rows, whole on every process.
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
          rows: The rows that they are laid out in, equal on every process.
          placed: The same rows on the devices.

        Returns:
          One number a slot; 0 in no one's.

        Raises:
          InternalError: If one is not finite.
        """
        slots = _slots_of_pairs(rows)
        values = np.zeros(rows.sequences.size, np.float32)
        missing = list(range(len(pairs)))
        if self._store is not None:
            keys = [_key(pair) for pair in pairs]
            missing = self._fill(values, keys, slots)
        missing = distributed.broadcast({"missing": missing})["missing"]
        self.num_missing = len(missing)
        if missing:
            scored = np.asarray(jax.device_get(self._score(placed)), np.float32)
            if not np.isfinite(scored).all():
                raise InternalError(
                    "a log-probability under the reference is not finite: look at the "
                    "start model's weights, or at the data with debug=true"
                )
            flat = scored.reshape(-1)
            for pair in missing:
                values[slots[pair]] = flat[slots[pair]]
            if self._store is not None:
                new = {_key(pairs[pair]): values[slots[pair]] for pair in missing}
                self._store.add(new)
        return distributed.broadcast_array(values).reshape(rows.sequences.shape)

    def knows(self, pairs: Sequence[Pair]) -> bool:
        """Whether all of these are scored already; the same on every process."""
        found = {"all": True}
        if self._store is not None:
            found["all"] = all(_key(pair) in self._store.known for pair in pairs)
        return distributed.broadcast(found)["all"]

    def _fill(
        self,
        values: Float[np.ndarray, " S"],
        keys: list[bytes],
        slots: list[Int[np.ndarray, " _"]],
    ) -> list[int]:
        """Puts what is known into its slots; gives the pairs of which nothing is."""
        assert self._store is not None  # on process 0
        missing = []
        for pair, key in enumerate(keys):
            known = self._store.known.get(key)
            if known is None:
                missing.append(pair)
            else:
                values[slots[pair]] = known
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


def _slots_of_pairs(rows: PackedRows) -> list[Int[np.ndarray, " _"]]:
    """Where in the flattened slots each pair's tokens are, chosen before rejected."""
    order = np.argsort(rows.sequences.reshape(-1), kind="stable")
    ends = np.cumsum(rows.lengths.sum(axis=1))
    return np.split(order, ends)[: len(rows.lengths)]


def _key(pair: Pair) -> bytes:
    """A hash of a pair's tokens and of where its parts begin."""
    hashed = hashlib.sha256(np.array([len(part) for part in pair], "<i4").tobytes())
    for part in pair:
        hashed.update(np.asarray(part, "<i4").tobytes())
    return hashed.digest()[:16]
