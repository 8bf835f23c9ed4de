"""All scores of a row at once, the reference of the other backends: "xla"."""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float

from rlaif_jax.models.attending.places import Places, attention_mask
from rlaif_jax.models.attending.rule import Heads, Rule
from rlaif_jax.models.attending.split import whole_keys
from rlaif_jax.models.precision import wide
from rlaif_jax.models.remat import ATTENTION


def prepare(
    places: Places, rule: Rule, keys: Places | None = None
) -> Bool[Array, "B T S"]:
    """The mask.

    Args:
      places: Of the queries.
      rule: The window.
      keys: Their places, if they are not the queries' own.
    """
    keys = places if keys is None else keys
    return attention_mask(places, keys, window=rule.window)


def read(
    heads: Heads, mask: Bool[Array, "B T S"], rule: Rule
) -> Float[Array, "B T K G H"]:
    """What each query reads: softmax(q k scale) v, over the keys that it may read.

    Args:
      heads: Queries, and keys and values of the row or of a cache.
      mask: True where query t may read key s. Every row has a True.
      rule: Scale and soft cap.
    """
    q, k, v = whole_keys(heads)
    scores = jnp.einsum(
        "btkgh,bskh->bkgts", q * rule.scale, k, preferred_element_type=wide(k.dtype)
    )
    if rule.softcap is not None:
        scores = rule.softcap * jnp.tanh(scores / rule.softcap)
    scores = jnp.where(mask[:, None, None], scores, -jnp.inf)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    mixed = jnp.einsum("bkgts,bskh->btkgh", weights, v)
    return checkpoint_name(mixed, ATTENTION)
