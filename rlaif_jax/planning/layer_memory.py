"""What one layer keeps for its backward, and what it works with: counted arrays.

Letters: D the residual stream, Q queries, K keys (or values), F the inner width of an
MLP, C the residual stream once a choice of an expert, S the scores of all heads. The
tables say how many arrays of each size are there at once. They are read off XLA's
buffer assignment (`--xla_dump_to`), where each is an array with a name; what they are
is said beside them. They do not depend on a model's sizes.
"""

from typing import NamedTuple

import jax.numpy as jnp

from rlaif_jax.models import TransformerConfig
from rlaif_jax.models.precision import wide
from rlaif_jax.planning.device_share import DeviceShare


class Arrays(NamedTuple):
    """How many arrays of a layer, by size.

    Attributes:
      stream: D, in compute_dtype.
      wide_stream: D, in float32: of norms.
      queries: Q.
      keys: K.
      hidden: F.
      choices: C.
      scores: S, in float32.
      sums: Softmax denominators, one a query and head, in float32.
      spread_hidden: F once for each expert that is here.
      spread_choices: C once for each expert that is here.
    """

    stream: float = 0
    wide_stream: float = 0
    queries: float = 0
    keys: float = 0
    hidden: float = 0
    choices: float = 0
    scores: float = 0
    sums: float = 0
    spread_hidden: float = 0
    spread_choices: float = 0

    def plus(self, other: "Arrays") -> "Arrays":
        """Both."""
        return Arrays(*(a + b for a, b in zip(self, other, strict=True)))

    def sizes(self, share: DeviceShare) -> list[tuple[int | float, int]]:
        """How many arrays, and the bytes of each, on one device."""
        config = share.config
        small = jnp.dtype(config.compute_dtype).itemsize
        large = wide(config.compute_dtype).itemsize
        choices = share.choices * config.embed
        each = Arrays(
            stream=small * share.stream,
            wide_stream=large * share.stream,
            queries=small * share.queries,
            keys=small * share.keys,
            hidden=small * share.hidden,
            choices=small * choices,
            scores=large * share.scores,
            sums=large * share.queries // config.head_dim,
            spread_hidden=small * share.hidden * share.experts,
            spread_choices=small * choices * share.experts,
        )
        return [(n, int(size)) for n, size in zip(self, each, strict=True) if n]

    def bytes_of(self, share: DeviceShare) -> int:
        """The bytes of all."""
        return int(sum(number * size for number, size in self.sizes(share)))


_INPUT = Arrays(stream=1)

# Of a layer without rematerialization: the normalized stream for the kernels that read
# it, before attention and before the MLP; three arrays of each norm (its input, that
# over the root of its mean square, that scaled); rotated queries and keys, values, and
# what was read.
_NONE = Arrays(stream=2, wide_stream=6, queries=2, keys=2)
_COPIES = Arrays(stream=3)  # on one device q, k and v, and gate and up, read their own
_INNER = {  # of an MLP
    "gated": 6,  # gate, its logistic, both products with it, up, the input of down
    "plain": 4,  # up, and three of the activation
}
_SORTED = Arrays(choices=2)  # each choice's state in its expert's rows, and its result
# What the layer computes again is needed from there on: the results of q, k, v, o and
# of gate and up, but not of down, which only the next layer's input holds.
_DOTS = Arrays(stream=2, queries=1, keys=2)

# What attention keeps for its backward besides queries, keys and values.
_KEPT_BY_ATTENTION = {
    "xla": Arrays(scores=2),  # exp(scores - highest), and that over its sum
    "blocks": Arrays(queries=1, sums=1),
    "splash": Arrays(queries=1, sums=1),
    "cudnn": Arrays(queries=1, sums=1),
}
# What the policies name: the result, and the backends' denominators.
_NAMED_BY_ATTENTION = {
    "xla": Arrays(queries=1),
    "blocks": Arrays(queries=1, sums=1),
    "splash": Arrays(sums=1),
    "cudnn": Arrays(),
}


def kept(share: DeviceShare) -> Arrays:
    """What is there between the forward and the backward of a layer, by its `remat`."""
    config = share.config
    named = _NAMED_BY_ATTENTION[config.attention]
    match config.remat:
        case "none":
            return made(share)
        case "dots":
            found = _DOTS.plus(Arrays(hidden=1 + config.gated)).plus(named)
            return found.plus(Arrays(choices=1)) if config.num_experts else found
        case "attention":
            return _INPUT.plus(named)
        case "full":
            return _INPUT
        case _:  # offload: in the host's memory
            return Arrays()


def made(share: DeviceShare) -> Arrays:
    """What a layer's forward makes and a backward needs."""
    config = share.config
    found = _NONE.plus(Arrays(hidden=_inner(config)))
    found = found.plus(_KEPT_BY_ATTENTION[config.attention])
    if config.num_experts:
        return found.plus(_SORTED)
    return found.plus(_COPIES) if share.is_alone else found


# While a layer's backward runs, with what is computed again. When the gradient reaches
# the MLP these are its inner arrays, with their gradients in the same memory; the
# stream before and between, its gradient, and both norms, whose roots XLA spreads to
# full width on one device; queries, keys and values in the order of products.
_BACKWARD = Arrays(stream=7, queries=2, keys=2)
_ROOTS = Arrays(stream=4)  # spread where one device has all
_BACKWARD_OF_ATTENTION = {
    "xla": Arrays(scores=3),  # exp, its sum at full width, and the quotient
    "blocks": Arrays(stream=1, queries=2, keys=1),  # the same in blocks, and sums
    "splash": Arrays(queries=3, keys=2),
    "cudnn": Arrays(queries=3, keys=2),
}
# When it reaches attention: the same three with the gradient of the scores.
_BACKWARD_OF_SCORES = Arrays(stream=3, queries=1, keys=2, scores=4)
# Without rematerialization the values are slices of what was kept.
_BACKWARD_OF_NONE = Arrays(stream=8)
_SCORES_OF_NONE = Arrays(scores=2.25)  # both slices' gradients; the mask in bytes

# While a layer's forward runs and nothing is kept: gate, up and their product, or
# scores, their exponentials, and the mask spread to all heads.
_FORWARD_OF_MLP = Arrays(stream=1)
_FORWARD_OF_ATTENTION = {
    "xla": Arrays(stream=1, queries=1, scores=3),
    "blocks": Arrays(stream=1, queries=3, keys=2, sums=2),
    "splash": Arrays(stream=1, queries=2, keys=2, sums=1),
    "cudnn": Arrays(stream=1, queries=2, keys=2, sums=1),
}
# Where no kernel multiplies rows by their own expert, XLA multiplies all by each, with
# zeros for others': the rows of each product, and the same in its order.
_SPREAD_FORWARD = Arrays(spread_hidden=1)
_SPREAD_OF_NONE = Arrays(spread_hidden=3, spread_choices=2)
_SPREAD_BACKWARD = Arrays(spread_hidden=6, spread_choices=1)


def backward_work(share: DeviceShare, *, spreads_experts: bool) -> int:
    """Bytes that one layer's backward works with, beside what was kept.

    Args:
      share: The device's.
      spreads_experts: Whether every expert multiplies all rows.
    """
    config, attention = share.config, share.config.attention
    inner = Arrays(hidden=_inner(config))
    is_spread = spreads_experts and config.num_experts
    if config.remat == "none":
        scores = _BACKWARD_OF_ATTENTION[attention]
        found = _BACKWARD_OF_NONE.plus(inner)
        found = found.plus(_SCORES_OF_NONE if attention == "xla" else scores)
        found = found.plus(_SPREAD_OF_NONE) if is_spread else found
        return found.bytes_of(share)
    found = _BACKWARD.plus(inner).plus(_ROOTS if share.is_alone else Arrays())
    found = found.plus(_SPREAD_BACKWARD) if is_spread else found
    if attention != "xla":
        return found.plus(_BACKWARD_OF_ATTENTION[attention]).bytes_of(share)
    if config.remat in ("full", "offload"):  # with "attention" it is there already
        found = found.plus(_BACKWARD_OF_ATTENTION[attention])
    return max(found.bytes_of(share), _BACKWARD_OF_SCORES.bytes_of(share))


def forward_work(share: DeviceShare, *, spreads_experts: bool) -> int:
    """Bytes that one layer's forward works with; arguments as `backward_work`."""
    config = share.config
    mlp = _FORWARD_OF_MLP.plus(Arrays(hidden=2 + config.gated))
    if spreads_experts and config.num_experts:
        mlp = mlp.plus(_SPREAD_FORWARD)
    attention = _FORWARD_OF_ATTENTION[config.attention]
    return max(mlp.bytes_of(share), attention.bytes_of(share))


def _inner(config: TransformerConfig) -> int:
    """Arrays of the inner width."""
    return _INNER["gated" if config.gated else "plain"]
