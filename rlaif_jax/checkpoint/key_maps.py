"""Which Hugging Face tensor each parameter is, as data: one table a model family."""

import math
from typing import NamedTuple

import numpy as np

Path = tuple[str, ...]  # keys from the root of the parameters to an array


class Entry(NamedTuple):
    """One parameter and its tensor.

    Hugging Face keeps a linear layer's weight as [outputs, inputs], each flattened;
    ours has one dimension per logical axis, inputs first.
    """

    path: Path
    name: str  # "{layer}" stands for the layer's number
    num_inputs: int | None = None  # leading dimensions that are inputs; None: as is

    @property
    def is_stacked(self) -> bool:
        """Whether there is one tensor a layer."""
        return "{layer}" in self.name

    def tensor_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The tensor's shape, from the parameter's without its layer axis."""
        if self.num_inputs is None:
            return shape
        return math.prod(shape[self.num_inputs :]), math.prod(shape[: self.num_inputs])

    def to_ours(self, tensor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """A tensor as (one layer of) the parameter of that shape."""
        return tensor if self.num_inputs is None else tensor.T.reshape(shape)

    def to_theirs(self, array: np.ndarray) -> np.ndarray:
        """(One layer of) a parameter as the tensor; undoes `to_ours`."""
        if self.num_inputs is None:
            return array
        outputs, inputs = self.tensor_shape(array.shape)
        return array.reshape(inputs, outputs).T


_LAYER = "model.layers.{layer}."

_LLAMA = (
    Entry(("embedding",), "model.embed_tokens.weight"),
    Entry(("layers", "attention_norm", "scale"), _LAYER + "input_layernorm.weight"),
    Entry(("layers", "attention", "q"), _LAYER + "self_attn.q_proj.weight", 1),
    Entry(("layers", "attention", "k"), _LAYER + "self_attn.k_proj.weight", 1),
    Entry(("layers", "attention", "v"), _LAYER + "self_attn.v_proj.weight", 1),
    Entry(("layers", "attention", "o"), _LAYER + "self_attn.o_proj.weight", 3),
    Entry(("layers", "mlp_norm", "scale"), _LAYER + "post_attention_layernorm.weight"),
    Entry(("layers", "mlp", "gate"), _LAYER + "mlp.gate_proj.weight", 1),
    Entry(("layers", "mlp", "up"), _LAYER + "mlp.up_proj.weight", 1),
    Entry(("layers", "mlp", "down"), _LAYER + "mlp.down_proj.weight", 1),
    Entry(("final_norm", "scale"), "model.norm.weight"),
    Entry(("head",), "lm_head.weight", 1),
)

KEY_MAPS: dict[str, tuple[Entry, ...]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,  # same modules, same names
}

# Tensors that files hold and no computation reads: tables that rope_theta determines.
DERIVED_SUFFIXES = ("rotary_emb.inv_freq",)


def key_map(family: str, *, tie_embeddings: bool) -> tuple[Entry, ...]:
    """The entries of a family, without the head if the embedding serves as one."""
    entries = KEY_MAPS[family]
    if not tie_embeddings:
        return entries
    return tuple(entry for entry in entries if entry.path != ("head",))
