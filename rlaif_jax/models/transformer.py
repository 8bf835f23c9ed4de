"""The decoder-only transformer: its modules, and pure functions of its parameters.

Parameters are a plain nested dict of arrays, layers stacked on axis 0, so that optax,
Orbax and `jit` see an ordinary tree.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from rlaif_jax.models.activations import split_stream
from rlaif_jax.models.attending import reading
from rlaif_jax.models.attending.places import Places
from rlaif_jax.models.attending.rule import Heads
from rlaif_jax.models.attention import Attention
from rlaif_jax.models.cache import KVCache
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.models.experts import Experts, Routing
from rlaif_jax.models.layers import GatedMLP, PlainMLP, residual_norm
from rlaif_jax.models.lookup import table_rows
from rlaif_jax.models.precision import wide
from rlaif_jax.models.remat import LAYER_INPUT, rematerialized
from rlaif_jax.models.rotary import Rotation, rotation

Params = dict[str, Any]  # nested, str -> ... -> jax.Array

# Up to here a scan is unrolled: faster on a CPU. Beyond, code size, compile time and
# the weights that FSDP gathers at once must not grow with depth.
_MAX_UNROLLED_LAYERS = 4


class HiddenStates(NamedTuple):
    """What `unembed` turns into logits, and the cache that now holds these tokens."""

    hidden: Float[Array, "B T D"]
    cache: KVCache | None
    routing: Routing | None  # of a mixture of experts, stacked by layer


class _Abstract(NamedTuple):
    """A model without values."""

    graphdef: Any  # nnx.GraphDef, whose type parameters a checker cannot read
    state: nnx.State


class _Context(NamedTuple):
    """What all layers are told of the tokens."""

    by: Rotation | None
    reading: reading.Reading
    is_text: Bool[Array, "B T"]


class Layer(nnx.Module):
    """Attention and feed-forward, each normalized before and added after."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.attention_norm = residual_norm(config)
        self.attention = Attention(config, rngs=rngs)
        self.mlp_norm = residual_norm(config)
        if config.num_experts:
            self.mlp = Experts(config, rngs=rngs)
        else:
            self.mlp = (GatedMLP if config.gated else PlainMLP)(config, rngs=rngs)
        if config.post_norms:
            self.attention_post_norm = residual_norm(config)
            self.mlp_post_norm = residual_norm(config)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        context: _Context,
        index: Int[Array, ""],
        cache: KVCache | None,
    ) -> tuple[Float[Array, "B T D"], KVCache | None, Routing | None]:
        """The residual stream after this layer, the index-th of the cache."""
        mixed, cache = self._attend(x, context, index, cache)
        after = split_stream(x + mixed)
        source = x if self.config.parallel_residual else after
        update, routing = self._feed(source, context.is_text)
        return split_stream(after + update), cache, routing

    def _attend(
        self,
        x: Float[Array, "B T D"],
        context: _Context,
        index: Int[Array, ""],
        cache: KVCache | None,
    ) -> tuple[Float[Array, "B T D"], KVCache | None]:
        """What attention adds, and the cache with these tokens in it."""
        q, k, v = self.attention.project(self.attention_norm(x), context.by)
        if cache is not None:
            cache = cache.write(index, k, v)
            k, v = cache.read(index)
        every = self.config.global_every
        is_global = None if every is None else (index + 1) % every == 0
        read = reading.read(self.config, Heads(q, k, v), context.reading, is_global)
        mixed = self.attention.emit(read)
        return self.attention_post_norm(
            mixed
        ) if self.config.post_norms else mixed, cache

    def _feed(
        self, x: Float[Array, "B T D"], is_text: Bool[Array, "B T"]
    ) -> tuple[Float[Array, "B T D"], Routing | None]:
        """What the MLP or the experts add."""
        normed, routing = self.mlp_norm(x), None
        if isinstance(self.mlp, Experts):
            update, routing = self.mlp(normed, is_text)
        else:
            update = self.mlp(normed)
        return self.mlp_post_norm(update) if self.config.post_norms else update, routing


class Transformer(nnx.Module):
    """Embedding, stacked layers, final norm and head."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        axes = ("vocab", "embed")
        shape = (config.vocab_size, config.embed)
        # as wide as what the layers add, unless the head needs it small
        width = config.embed**-0.5 if config.tie_embeddings else 1.0
        embedding = nnx.initializers.normal(width)(rngs.params(), shape)
        self.embedding = nnx.Param(embedding, axes=axes)
        if config.positions == "learned":
            places = (config.max_positions, config.embed)
            table = nnx.initializers.normal(0.02)(rngs.params(), places)
            self.positions = nnx.Param(table, axes=("positions", "embed"))
        self.layers = _stacked_layers(config, rngs)
        self.final_norm = residual_norm(config)
        if config.head == "reward":
            self.reward_head = nnx.Param(jnp.zeros(config.embed), axes=("embed",))
        elif not config.tie_embeddings:
            # almost uniform at first: a loss of log(vocab_size)
            head = nnx.initializers.normal(0.02)(rngs.params(), shape[::-1])
            self.head = nnx.Param(head, axes=axes[::-1])

    def __call__(
        self,
        token_ids: Int[Array, "B T"],
        places: Places,
        cache: KVCache | None,
    ) -> HiddenStates:
        """Final normalized states, and the cache with these tokens in it."""
        config, positions, cached = self.config, places.positions, None
        if cache is not None:
            cache = cache.register(positions, places.segments)
            cached = Places(cache.positions, cache.segment_ids)
        context = _Context(
            by=rotation(positions, config) if config.positions == "rotary" else None,
            reading=reading.prepare(config, places, cached),
            is_text=places.segments > 0,
        )
        x = self._embed(token_ids, positions)
        x, cache, routing = self._run_layers(split_stream(x), context, cache)
        if cache is not None:
            cache = cache._replace(length=cache.length + token_ids.shape[1])
        return HiddenStates(self.final_norm(x), cache, routing)

    def _embed(
        self, token_ids: Int[Array, "B T"], positions: Int[Array, "B T"]
    ) -> Float[Array, "B T D"]:
        """Where the residual stream starts."""
        config = self.config
        x = table_rows(self.embedding[...], token_ids).astype(config.compute_dtype)
        if config.embedding_scale != 1.0:
            x = x * jnp.asarray(config.embedding_scale, x.dtype)
        if config.positions == "learned":
            x = x + table_rows(self.positions[...], positions).astype(x.dtype)
        return x

    def _run_layers(
        self, x: Float[Array, "B T D"], context: _Context, cache: KVCache | None
    ) -> tuple[Float[Array, "B T D"], KVCache | None, Routing | None]:
        """Scans over the stacked layers; the cache is a carry, so never copied."""
        graphdef, weights = nnx.split(self.layers)

        def body(carry, layer):
            index, weights = layer
            x = checkpoint_name(carry[0], LAYER_INPUT)
            run = nnx.merge(graphdef, weights)
            x, cache, routing = run(x, context, index, carry[1])
            return (x, cache), routing

        depth, remat = self.config.num_layers, self.config.remat
        is_flat = depth <= _MAX_UNROLLED_LAYERS and remat == "none"
        unroll = depth if is_flat else 1
        body = rematerialized(body, remat)
        stacked = (jnp.arange(depth), weights)
        (x, cache), routing = jax.lax.scan(body, (x, cache), stacked, unroll=unroll)
        return x, cache, routing


def init_params(
    config: TransformerConfig, key: Array, dtype: DTypeLike = "float32"
) -> Params:
    """Random parameters; under `jit` with `out_shardings` they are born sharded."""
    rngs = nnx.Rngs(params=key, lora=jax.random.fold_in(key, 1))
    params = nnx.to_pure_dict(nnx.state(Transformer(config, rngs=rngs)))
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def logical_axes(config: TransformerConfig) -> Params:
    """The names of every parameter's axes, in a tree like the parameters'."""
    named = {
        path: ("layers",) * (path[0] == "layers") + leaf.get_metadata("axes")
        for path, leaf in nnx.to_flat_state(_abstract(config).state)
    }
    return nnx.traversals.unflatten_mapping(named)


def abstract_params(config: TransformerConfig) -> Params:
    """The shape of every parameter, in a tree like the parameters'."""
    return nnx.to_pure_dict(_abstract(config).state)


def hidden_states(  # noqa: PLR0913  one array for each thing known of a token
    config: TransformerConfig,
    params: Params,
    token_ids: Int[Array, "B T"],
    positions: Int[Array, "B T"],
    segment_ids: Int[Array, "B T"],
    cache: KVCache | None = None,
    branches: Int[Array, "B T"] | None = None,
) -> HiddenStates:
    """Final states of every token; call it inside `jit`, on a mesh under `set_mesh`.

    Args:
      config: The architecture.
      params: From `init_params` or a checkpoint.
      token_ids: In [0, vocab_size), anything where padded.
      positions: Of each token within its segment.
      segment_ids: From 1; tokens see their own segment only. 0 is padding.
      cache: Earlier tokens. The T new ones take its next slots, and every query sees
        all slots of its segment.
      branches: 0, 1, 2 for the prompt, the chosen and the rejected of a pair in one
        segment: neither completion sees the other, and positions of both go on from
        the prompt's.

    Returns:
      The states in compute_dtype, and the cache with the new tokens (None if none
      was given). With another backend than "xla", a row whose order is not that of
      its positions is NaN (`attending.places.is_in_row_order`).

    Raises:
      UsageError: If the config's attention cannot do what is asked.
    """
    model = nnx.merge(_abstract(config).graphdef, params)
    return model(token_ids, Places(positions, segment_ids, branches), cache)


def head_kernel(config: TransformerConfig, params: Params) -> Float[Array, "D V"]:
    """What makes logits of final states: the head, or the transposed embedding."""
    if config.head != "tokens":
        raise ValueError(f"a model with a {config.head} head has no logits")
    return params["embedding"].T if config.tie_embeddings else params["head"]


def unembed(
    config: TransformerConfig, params: Params, hidden: Float[Array, "*B D"]
) -> Float[Array, "*B V"]:
    """Logits in float32: products in compute_dtype, sums in float32."""
    logits = jnp.einsum(
        "...d,dv->...v",
        hidden,
        head_kernel(config, params).astype(config.compute_dtype),
        preferred_element_type=wide(config.compute_dtype),
    )
    if config.logit_softcap is None:
        return logits
    return config.logit_softcap * jnp.tanh(logits / config.logit_softcap)


@functools.partial(jax.jit, static_argnames="config")
def forward(  # noqa: PLR0913  as hidden_states
    config: TransformerConfig,
    params: Params,
    token_ids: Int[Array, "B T"],
    *,
    positions: Int[Array, "B T"] | None = None,
    segment_ids: Int[Array, "B T"] | None = None,
    cache: KVCache | None = None,
    branches: Int[Array, "B T"] | None = None,
) -> Float[Array, "B T V"]:
    """Logits of the next token at every position, in float32.

    Args:
      config: The architecture.
      params: From `init_params`, `import_hf` or a checkpoint.
      token_ids: In [0, vocab_size), anything where padded.
      positions: Of each token within its segment; 0, 1, 2, ... by default.
      segment_ids: From 1, 0 is padding; all one segment by default.
      cache: Earlier tokens, read but not returned: `hidden_states` returns it.
      branches: Of pairs that share their prompt, as for `hidden_states`.
    """
    if positions is None:
        positions = jnp.broadcast_to(jnp.arange(token_ids.shape[1]), token_ids.shape)
    if segment_ids is None:
        segment_ids = jnp.ones_like(token_ids)
    states = hidden_states(
        config, params, token_ids, positions, segment_ids, cache, branches
    )
    return unembed(config, params, states.hidden)


def _stacked_layers(config: TransformerConfig, rngs: nnx.Rngs) -> Layer:
    """All layers in one module, every parameter with a leading layer axis."""

    @nnx.split_rngs(splits=config.num_layers)
    @nnx.vmap(in_axes=0, out_axes=0)
    def stacked(rngs: nnx.Rngs) -> Layer:
        return Layer(config, rngs=rngs)

    return stacked(rngs)


@functools.lru_cache(maxsize=64)
def _abstract(config: TransformerConfig) -> _Abstract:
    """The model's structure, and its parameters without values."""
    return _Abstract(
        *nnx.split(nnx.eval_shape(lambda: Transformer(config, rngs=nnx.Rngs(0))))
    )
