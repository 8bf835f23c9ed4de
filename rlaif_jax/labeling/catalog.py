"""Every judging prompt, by the name that a config gives it."""

from pathlib import Path

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.alpaca_eval import PREFIX, alpaca_template
from rlaif_jax.labeling.prompt_files import read_template
from rlaif_jax.labeling.prompts import Template
from rlaif_jax.labeling.wording import RATIONALE, VERDICT

BUILT_IN = {template.name: template for template in (VERDICT, RATIONALE)}


def template_named(name: str) -> Template:
    """A template: built in, of the installed `alpaca_eval`, or in a file.

    Args:
      name: `verdict`, `rationale`, `alpaca_eval:NAME`, or a YAML file's path with a
        slash in it, which tells it from a name.

    Raises:
      UsageError: If there is no such template.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name.startswith(PREFIX):
        return alpaca_template(name.removeprefix(PREFIX))
    if "/" in name:
        return read_template(Path(name))
    raise UsageError(
        f"unknown template {name!r}: it is {', '.join(BUILT_IN)}, {PREFIX}NAME, or a"
        f" file, told by a slash: ./{name}"
    )
