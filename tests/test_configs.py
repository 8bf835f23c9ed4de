"""Every file in `configs/` is a whole run that loads, and says how to start it."""

from pathlib import Path

import pytest

from rlaif_jax.cli import VERBS, config_of
from rlaif_jax.config_file import load_config

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))


def verb_of(path: Path) -> str:
    """The verb in the file's first comment."""
    comment = "".join(path.read_text().splitlines()[:2])
    words = comment.replace("#", " ").split()
    return next(word for word in words if word in VERBS)


def test_there_are_configs():
    assert len(FILES) >= 7


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CONFIGS)))
def test_a_config_loads_as_its_verb(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("#")
    verb = verb_of(path)
    kind = "study" if verb == "quickstart" else verb
    config = load_config(config_of(kind), [str(path)])
    assert config == config_of(kind).model_validate(config.model_dump())
