"""How many floating-point operations a model's training needs, by formula.

One multiplication and one addition are 2. Counted are the matrix products that the
result needs: none on padding, none where the mask forbids, no look-up of embeddings,
no norms and activations, and nothing that rematerialization computes again.
"""

import math
from typing import NamedTuple

from rlaif_jax.models.config import TransformerConfig

# An adapter's maps between logical axes are as wide as these.
_INPUTS = {"o": "heads", "down": "ffw"}
_OUTPUTS = {"q": "heads", "k": "kv", "v": "kv", "gate": "ffw", "up": "ffw"}


class TokenCounts(NamedTuple):
    """What of a batch costs something.

    Attributes:
      tokens: That the layers read: a prompt that two completions share counts once.
      predicted: Completion tokens, whose logits are needed.
      attended: Pairs of a query and a key that it may read, without a window.
      attended_in_window: The same with the model's window; `attended` if it has none.
    """

    tokens: int
    predicted: int
    attended: int
    attended_in_window: int

    @classmethod
    def of(
        cls, prompt: int, completions: tuple[int, ...], *, window: int | None
    ) -> "TokenCounts":
        """The counts of a prompt, and of completions that read it but not each other.

        Args:
          prompt: Its tokens.
          completions: The tokens of each.
          window: Keys that a query sees at most, itself included.
        """
        ends = [prompt + completion for completion in completions]

        def attended(most: int) -> int:
            behind = sum(_attended(end, most) - _attended(prompt, most) for end in ends)
            return _attended(prompt, most) + behind

        longest = max(ends)
        return cls(
            tokens=prompt + sum(completions),
            predicted=sum(completions),
            attended=attended(longest),
            attended_in_window=attended(min(longest, window or longest)),
        )

    def plus(self, other: "TokenCounts") -> "TokenCounts":
        """The counts of both."""
        return TokenCounts(*(a + b for a, b in zip(self, other, strict=True)))


class Weights(NamedTuple):
    """The weights that multiply each token, and how many of each are adapters'."""

    layers: int  # of all layers; of experts, those that a token passes through
    head: int
    adapters: int


def weights(config: TransformerConfig) -> Weights:
    """How many weights multiply a token: N of the formulas."""
    heads, kv = config.num_heads * config.head_dim, config.kv_heads * config.head_dim
    attention = config.embed * (2 * heads + 2 * kv)
    mlp = (3 if config.gated else 2) * config.embed * config.ffw
    if config.num_experts:
        mlp = config.experts_per_token * mlp + config.embed * config.num_experts
    adapters = 0
    if config.lora:
        sizes = {"heads": heads, "kv": kv, "ffw": config.ffw, "embed": config.embed}
        ends = (
            sizes[_INPUTS.get(name, "embed")] + sizes[_OUTPUTS.get(name, "embed")]
            for name in config.lora.targets
        )
        adapters = config.num_layers * config.lora.rank * sum(ends)
    # a reward head has one column, which is next to nothing
    head = config.embed * config.vocab_size if config.head == "tokens" else 0
    return Weights(config.num_layers * (attention + mlp), head, adapters)


def forward_flops(config: TransformerConfig, counts: TokenCounts) -> int:
    """Operations of one forward pass.

    Two a weight and token, the head's on completion tokens alone, and four an allowed
    query-key pair, layer and dimension of the heads: scores, and sums of values.

    Args:
      config: The architecture.
      counts: Of the batch.
    """
    counted = weights(config)
    linear = 2 * (counted.layers + counted.adapters) * counts.tokens
    head = 2 * counted.head * counts.predicted
    return linear + head + _attention_flops(config, counts)


def training_flops(config: TransformerConfig, counts: TokenCounts) -> int:
    """Operations of a forward and a backward pass.

    The backward pass takes twice the forward's: one product for the gradient of what
    comes in, and one for that of the weights. Frozen weights under adapters need only
    the first, so they count 4 a token, not 6.

    Args:
      config: The architecture, with the adapters that are trained, if any.
      counts: Of the batch.
    """
    counted, passes = weights(config), 4 if config.lora else 6
    linear = (passes * counted.layers + 6 * counted.adapters) * counts.tokens
    head = passes * counted.head * counts.predicted
    return linear + head + 3 * _attention_flops(config, counts)


def recomputed_flops(config: TransformerConfig, counts: TokenCounts) -> int:
    """Operations that a backward pass takes to make layers' values again.

    Those of the config's `remat`; the head's and an attention kernel's own are left
    out.

    Args:
      config: The architecture, with the adapters that are trained, if any.
      counts: Of the batch.
    """
    if config.remat in ("none", "dots"):
        return 0
    counted = weights(config)
    linear = 2 * (counted.layers + counted.adapters) * counts.tokens
    if config.remat == "attention":
        return linear
    return linear + _attention_flops(config, counts)


def told_formula(config: TransformerConfig) -> str:
    """The formula of `training_flops` with the model's numbers, for people."""
    counted, passes = weights(config), 4 if config.lora else 6
    adapters = f" + 6 x {counted.adapters:.3e} of adapters" if config.lora else ""
    head = f" + {passes} x {counted.head:.3e} x completion tokens" * bool(counted.head)
    width = config.num_heads * config.head_dim
    return (
        f"({passes} x {counted.layers:.3e} weights of layers{adapters}) x tokens{head}"
        f" + 12 x {width} x (query-key pairs that the mask allows, over"
        f" {config.num_layers} layers); shared prompts once, no padding, no embedding"
        " look-up, no recomputation"
    )


def _attention_flops(config: TransformerConfig, counts: TokenCounts) -> int:
    """Of scores and of sums of values, over all layers."""
    num_global = config.num_layers
    if config.sliding_window is not None:
        every = config.global_every or math.inf
        num_global = int(config.num_layers // every)
    in_window = (config.num_layers - num_global) * counts.attended_in_window
    pairs = num_global * counts.attended + in_window
    return 4 * config.num_heads * config.head_dim * pairs


def _attended(length: int, most: int) -> int:
    """The sum over queries 1, 2, ... `length` of min(query, most)."""
    full = min(length, most)
    return full * (full + 1) // 2 + (length - full) * most
