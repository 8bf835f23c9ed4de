"""What the documents point at is there."""

import re
from pathlib import Path

import pytest

from rlaif_jax.checkpoint.families import FAMILIES

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_is_there(path):
    for file, name in re.findall(r"`([\w/]+\.py)::(\w+)`", path.read_text()):
        text = (ROOT / "tests" / file).read_text()
        found = re.search(rf"^(async )?def {name}\(", text, re.MULTILINE)
        assert found, f"{path.name} names {file}::{name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(path):
    named = re.findall(
        r"`((?:rlaif_jax|configs|launch|docs|benchmarks)/[\w./-]+)`", path.read_text()
    )
    for file in named:
        assert (ROOT / file).exists(), f"{path.name} names {file}"


def test_the_table_of_models_has_every_family_and_explains_every_letter():
    text = (ROOT / "docs" / "models.md").read_text()
    proven = text[text.index("## What is proven") : text.index("## Import")]
    rows = re.findall(r"^\| `(\w+)`.*", proven, re.MULTILINE)
    assert sorted(rows) == sorted(FAMILIES)
    explained = re.findall(r"^\* (\w): .*", proven, re.MULTILINE)
    cells = " ".join(re.findall(r"^\| `.*", proven, re.MULTILINE))
    assert set(re.findall(r"\b[A-Z]\b", cells)) == set(explained)
