"""The model card: the README that the hub shows beside weights."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax

from rlaif_jax.models import TransformerConfig, abstract_params

MARK = "<!-- written by rlaif-jax export-hf -->"
NAME = "README.md"


class Section(NamedTuple):
    """One stage of the model's making."""

    title: str
    facts: Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lineage:
    """What is known of how a model was made.

    Attributes:
      base_model: What it started from: a name on the hub, or a folder's.
      sections: From the last stage back to the base model.
      teachers: API models that wrote completions it was trained on.
    """

    base_model: str | None = None
    sections: Sequence[Section] = ()
    teachers: Sequence[str] = ()


UNKNOWN = Lineage()


def card_text(config: TransformerConfig, lineage: Lineage, *, dtype: str) -> str:
    """The card of a folder of weights, in Markdown.

    Args:
      config: The architecture; with adapters, it is these that the folder holds.
      lineage: How the model was made.
      dtype: Of the tensors.
    """
    head = {"library_name": "peft" if config.lora else "transformers"}
    head["pipeline_tag"] = "text-generation"
    if lineage.base_model and lineage.base_model.count("/") == 1:  # a hub's name
        head["base_model"] = lineage.base_model
    front = "\n".join(f"{key}: {value}" for key, value in head.items())
    sections = (
        Section("Architecture", _architecture(config, dtype)),
        *lineage.sections,
    )
    return (
        f"---\n{front}\n---\n{MARK}\n# {_title(lineage, config)}\n\n{_use(config)}\n"
        + "".join(_rendered(section) for section in sections)
        + f"\n## Licence\n\n{_licence(lineage)}\n"
    )


def _title(lineage: Lineage, config: TransformerConfig) -> str:
    name = lineage.base_model or f"a {config.family}"
    return f"{name}, aligned with rlaif_jax" if lineage.sections else name


def _use(config: TransformerConfig) -> str:
    if config.lora:
        return "Put it on its base model with `peft.PeftModel.from_pretrained`."
    return "Load it with `transformers.AutoModelForCausalLM.from_pretrained`."


def _architecture(config: TransformerConfig, dtype: str) -> dict[str, str]:
    plain = config.replace(lora=None)
    count = sum(leaf.size for leaf in jax.tree.leaves(abstract_params(plain)))
    facts = {
        "family": config.family,
        "parameters": f"{count:,}",
        "files hold": dtype,
        "layers, width": f"{config.num_layers}, {config.embed}",
        "query heads, key/value heads": f"{config.num_heads}, {config.kv_heads}",
        "vocabulary": f"{config.vocab_size:,}",
        "sliding window": str(config.sliding_window or "none"),
    }
    if config.lora:
        names = ", ".join(config.lora.targets)
        facts["adapters"] = f"rank {config.lora.rank}, alpha {config.lora.alpha:g}"
        facts["adapted maps"] = names
    return facts


def _rendered(section: Section) -> str:
    rows = (f"| {_cell(k)} | {_cell(v)} |" for k, v in section.facts.items())
    return f"\n## {section.title}\n\n| | |\n|---|---|\n" + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    """Text that cannot end its cell."""
    return " ".join(text.split()).replace("|", r"\|")


def _licence(lineage: Lineage) -> str:
    base = lineage.base_model or "the base model"
    text = f"The licence of {base} holds for these weights too."
    if lineage.teachers:
        names = ", ".join(lineage.teachers)
        text += (
            f" They were trained on texts or judgements of {names}, whose terms of use"
            " may limit what such a model may be used for."
        )
    return text + " The person who publishes it adds `license:` above."
