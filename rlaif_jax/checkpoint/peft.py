"""Adapters as files of Hugging Face's PEFT, which vLLM reads too."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from rlaif_jax.checkpoint.card import Lineage
from rlaif_jax.checkpoint.companions import write_companions
from rlaif_jax.checkpoint.entries import Entry
from rlaif_jax.checkpoint.families import FAMILIES
from rlaif_jax.files import sync_folder, write_json
from rlaif_jax.models import Lora, Params, TransformerConfig

_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"


class _Module(NamedTuple):
    """One linear layer of theirs, and our maps that it holds."""

    name: str  # with "{layer}"
    entries: tuple[Entry, ...]  # of the maps with adapters

    @property
    def suffix(self) -> str:
        """What tells it apart from the layer's other modules."""
        return ".".join(self.name.split(".")[-2:])


def export_adapters(
    config: TransformerConfig,
    adapters: Params,
    out: Path,
    *,
    tokenizer_dir: Path,
    lineage: Lineage,
) -> Path:
    """Writes adapters that PEFT puts on a transformers model.

    Where one of their layers holds several of our maps (GPT-NeoX's and GPT-2's queries,
    keys and values), its adapter is all of theirs side by side, with the sum of their
    ranks and the same scale: the product is the same.

    Args:
      config: The architecture with its adapters.
      adapters: They alone.
      out: The folder; created if need be.
      tokenizer_dir: Whose tokenizer files are copied.
      lineage: How they were made; PEFT is told its base model.

    Returns:
      The file of weights.

    Raises:
      UsageError: If `out` holds weights that no export wrote.
    """
    lora = config.lora
    if lora is None:
        raise ValueError("a model without adapters has none to export")
    write_companions(
        out, config, tokenizer_dir=tokenizer_dir, lineage=lineage, dtype="float32"
    )
    modules = _modules(config, lora)
    tensors = {
        name: tensor
        for module in modules
        for name, tensor in _tensors(module, adapters, config.num_layers)
    }
    path = out / _WEIGHTS
    save_file(tensors, path, metadata={"format": "pt"})
    write_json(out / _CONFIG, _document(config, lora, modules, lineage.base_model))
    sync_folder(out)
    return path


def _modules(config: TransformerConfig, lora: Lora) -> list[_Module]:
    """The layers of theirs that get an adapter."""
    found: dict[str, list[Entry]] = {}
    for entry in FAMILIES[config.family].entries(config):
        if entry.path[0] == "layers" and entry.path[-1] in lora.targets:
            found.setdefault(entry.name.removesuffix(".weight"), []).append(entry)
    return [_Module(name, tuple(entries)) for name, entries in found.items()]


def _tensors(
    module: _Module, adapters: Params, num_layers: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Both factors of one module in every layer, under PEFT's names."""
    for layer in range(num_layers):
        inward, outward = [], []
        for entry in module.entries:
            a, b = _factors(adapters, entry, layer)
            inward.append(a.reshape(-1, a.shape[-1]).T)
            outward.append(_placed(entry, b))
        name = f"base_model.model.{module.name.format(layer=layer)}"
        yield f"{name}.lora_A.weight", np.ascontiguousarray(np.concatenate(inward))
        yield f"{name}.lora_B.weight", np.ascontiguousarray(np.hstack(outward))


def _factors(
    adapters: Params, entry: Entry, layer: int
) -> tuple[np.ndarray, np.ndarray]:
    """One map's factors in one layer, in float32."""
    branch = adapters
    for key in entry.path[:-1]:
        branch = branch[key]
    a, b = (branch[f"{entry.path[-1]}_lora_{which}"][layer] for which in "ab")
    return np.asarray(a, jnp.float32), np.asarray(b, jnp.float32)


def _placed(entry: Entry, b: np.ndarray) -> np.ndarray:
    """A map's [rank, outputs...] as [their layer's outputs, rank], 0 where not its."""
    if entry.part is None:
        return b.reshape(len(b), -1).T
    # the rank stands where the layer has its inputs
    own = entry.to_theirs(b)
    shares = [np.zeros_like(own) for _ in range(entry.part.count)]
    shares[entry.part.index] = own
    tensor = entry.joined(shares, b.shape)
    return tensor if entry.is_transposed else tensor.T


def _document(
    config: TransformerConfig,
    lora: Lora,
    modules: list[_Module],
    base_model: str | None,
) -> dict[str, object]:
    """PEFT's `adapter_config.json`."""
    fused = {m.suffix: len(m.entries) for m in modules if len(m.entries) > 1}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "inference_mode": True,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(module.suffix for module in modules),
        "rank_pattern": {name: lora.rank * n for name, n in fused.items()},
        "alpha_pattern": {name: lora.alpha * n for name, n in fused.items()},
        "fan_in_fan_out": any(
            not entry.is_transposed for module in modules for entry in module.entries
        ),
    }
