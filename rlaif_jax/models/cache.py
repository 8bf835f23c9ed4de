"""Keys and values of earlier tokens, so that decoding computes each only once."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from rlaif_jax.models.config import TransformerConfig


class KVCache(NamedTuple):
    """Slots [B, S] with their keys and values in every layer.

    A slot carries its token's position and segment, so the one attention mask serves
    cached and fresh keys alike. All rows write at the same slot, whatever their
    positions: a short prompt's padding keeps segment 0 and is never read.
    """

    k: Float[Array, "L B S K H"]
    v: Float[Array, "L B S K H"]
    positions: Int[Array, "B S"]
    segment_ids: Int[Array, "B S"]  # 0 is empty or padding
    length: Int[Array, ""]  # the next slot to write

    def register(
        self, positions: Int[Array, "B T"], segment_ids: Int[Array, "B T"]
    ) -> "KVCache":
        """Announces the T tokens that every layer is about to write.

        Raises:
          ValueError: If they are more than there are slots. A caller sees to it that
            `length` + T stays within them: a traced length cannot be checked here.
        """
        if positions.shape[1] > self.positions.shape[1]:
            raise ValueError(
                f"{positions.shape[1]} tokens in {self.positions.shape[1]} cache slots"
            )
        start = (0, self.length)
        update = jax.lax.dynamic_update_slice
        return self._replace(
            positions=update(self.positions, positions.astype(jnp.int32), start),
            segment_ids=update(self.segment_ids, segment_ids.astype(jnp.int32), start),
        )

    def write(
        self,
        layer: Int[Array, ""],
        k: Float[Array, "B T K H"],
        v: Float[Array, "B T K H"],
    ) -> "KVCache":
        """Stores one layer's new keys and values in the registered slots.

        In place under `jit`: the whole cache is a loop carry, and only T slots change.
        """
        start = (layer, 0, self.length, 0, 0)
        update = jax.lax.dynamic_update_slice
        return self._replace(
            k=update(self.k, k[None].astype(self.k.dtype), start),
            v=update(self.v, v[None].astype(self.v.dtype), start),
        )

    def read(
        self, layer: Int[Array, ""]
    ) -> tuple[Float[Array, "B S K H"], Float[Array, "B S K H"]]:
        """One layer's keys and values, of all slots."""
        return (
            jax.lax.dynamic_index_in_dim(self.k, layer, keepdims=False),
            jax.lax.dynamic_index_in_dim(self.v, layer, keepdims=False),
        )


def init_cache(
    config: TransformerConfig, batch: int, size: int, dtype: DTypeLike
) -> KVCache:
    """An empty cache.

    Args:
      config: The model's sizes.
      batch: Rows.
      size: Slots of a row: the longest prompt and all new tokens.
      dtype: Of keys and values; the config's compute_dtype loses nothing.
    """
    shape = (config.num_layers, batch, size, config.kv_heads, config.head_dim)
    return KVCache(
        k=jnp.zeros(shape, dtype),
        v=jnp.zeros(shape, dtype),
        positions=jnp.zeros((batch, size), jnp.int32),
        segment_ids=jnp.zeros((batch, size), jnp.int32),
        length=jnp.zeros((), jnp.int32),
    )
