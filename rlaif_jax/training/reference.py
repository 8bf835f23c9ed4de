"""Log-probabilities under the frozen reference: computed once a pair, kept on disk.

Further shape letter: axis `2` is the side of a preference, chosen before rejected.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from rlaif_jax import log
from rlaif_jax.data.rows import TokenRows
from rlaif_jax.errors import InternalError
from rlaif_jax.files import write_atomic
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.records import content_hash
from rlaif_jax.runtime import distributed

_log = log.logger(__name__)

Score = Callable[[TokenRows], Float[Array, "B 2"]]


class ReferenceLogps:
    """Sequence log-probabilities of pairs under the reference.

    A pair is known by its token ids, so a changed tokenizer, template, truncation or
    order of its sides is another pair. Only process 0 keeps the file, and tells.
    """

    def __init__(self, folder: Path, score: Score, *, identity: str):
        """Opens the file of this reference; files of others are left alone.

        Args:
          folder: Where the files are; made if missing.
          score: Log-probabilities of placed rows, equal on every process.
          identity: Of the reference, from `reference_identity`.
        """
        self._score = score
        self._path = folder / f"{identity}.jsonl"
        self._known: dict[str, list[float]] = {}
        if distributed.is_main():
            self._known = _recover(self._path)

    def of(self, rows: TokenRows, placed: TokenRows) -> Float[np.ndarray, "B 2"]:
        """The log-probabilities of one batch, scored if a pair is new.

        The whole batch is scored then, in the shape that training uses, so that a
        policy equal to the reference gives equal numbers.

        Args:
          rows: [B 2 T], all of the batch, equal on every process.
          placed: The same rows on the devices.

        Raises:
          InternalError: If one is not finite.
        """
        keys = _row_keys(rows)
        found = [self._known.get(key) for key in keys]
        found = distributed.broadcast({"logps": found})["logps"]
        if None in found:
            scored = np.asarray(jax.device_get(self._score(placed)), np.float32)
            if not np.isfinite(scored).all():
                raise InternalError(
                    "a log-probability under the reference is not finite: look at the "
                    "start model's weights, or at the data with debug=true"
                )
            new = {
                key: scored[i].tolist()
                for i, key in enumerate(keys)
                if found[i] is None
            }
            found = [
                new[k] if f is None else f for k, f in zip(keys, found, strict=True)
            ]
            self._keep(new)
        return np.array(found, np.float32)

    def _keep(self, new: dict[str, list[float]]) -> None:
        """Remembers pairs, and appends them to the file."""
        if distributed.is_main():
            self._known |= new
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(_line(key, logps) for key, logps in new.items())


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


def _row_keys(rows: TokenRows) -> list[str]:
    """A hash of each pair's tokens and of where its completions are."""
    # only what counts: with more padding it is the same pair
    ids = np.where(rows.segment_ids > 0, rows.token_ids, -1).astype("<i4")
    return [
        hashlib.sha256(pair.tobytes() + mask.tobytes()).hexdigest()[:32]
        for pair, mask in zip(ids, rows.completion_mask, strict=True)
    ]


def _line(key: str, logps: list[float]) -> str:
    """One pair as a line that shows damage."""
    check = content_hash(key, logps)[:8]
    return json.dumps({"pair": key, "logps": logps, "check": check}) + "\n"


def _recover(path: Path) -> dict[str, list[float]]:
    """What a file says; damaged or torn lines are dropped from it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        return {}
    lines = path.read_bytes().splitlines(keepends=True)
    known = dict(_valid(lines))
    if len(known) < len(lines):
        _log.warning(
            f"{path} has {len(lines) - len(known)} damaged lines: computed again"
        )
        write_atomic(path, "".join(_line(*entry) for entry in known.items()))
    return known


def _valid(lines: list[bytes]) -> Iterator[tuple[str, list[float]]]:
    """The entries of lines that are exactly what was written."""
    for line in lines:
        try:
            entry = json.loads(line)
            key, logps = entry["pair"], entry["logps"]
        except (ValueError, KeyError, TypeError):
            continue
        if line == _line(key, logps).encode():
            yield key, logps
