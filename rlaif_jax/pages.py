"""Templates of pages that foreign text cannot touch."""

from pathlib import Path

import jinja2

from rlaif_jax.visible import visible


def page_environment(folder: Path) -> jinja2.Environment:
    """Templates in which every value is escaped, and nothing is invisible.

    Args:
      folder: Where the templates are.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _visible(value: object) -> object:
    """Spells out hidden characters of plain text; markup was made by the template."""
    return visible(value) if type(value) is str else value
