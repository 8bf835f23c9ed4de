"""The model families whose Hugging Face files are understood, one module each."""

from rlaif_jax.checkpoint.families.family import Family
from rlaif_jax.checkpoint.families.gemma import GEMMA2
from rlaif_jax.checkpoint.families.gpt import GPT2, GPT_NEOX
from rlaif_jax.checkpoint.families.llama import LLAMA
from rlaif_jax.checkpoint.families.mistral import MISTRAL, MIXTRAL
from rlaif_jax.checkpoint.families.qwen import QWEN2, QWEN3

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (LLAMA, MISTRAL, MIXTRAL, QWEN2, QWEN3, GEMMA2, GPT_NEOX, GPT2)
}

__all__ = ["FAMILIES", "Family"]
