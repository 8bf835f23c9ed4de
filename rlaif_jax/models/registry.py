"""The models that a config can name."""

import difflib

from rlaif_jax.errors import UsageError
from rlaif_jax.models import gemma, gpt, llama, mistral, qwen
from rlaif_jax.models.config import TransformerConfig

PRESETS: dict[str, TransformerConfig] = {
    name: config
    for module in (llama, mistral, qwen, gemma, gpt)
    for name, config in module.PRESETS.items()
}


def preset(name: str) -> TransformerConfig:
    """The architecture of that name.

    Raises:
      UsageError: If there is none; the message names the nearest, or all.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(PRESETS)}"
        raise UsageError(f"no model preset {name!r}: {hint}")
    return PRESETS[name]
