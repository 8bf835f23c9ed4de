"""Tests of `rlaif_jax.data.alpaca_eval`."""

import gzip
import json

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.alpaca_eval import read_alpaca_eval
from rlaif_jax.errors import CorruptDataError


def read(path, items):
    path.write_bytes(gzip.compress(json.dumps(items).encode()))
    return list(read_alpaca_eval(SourceConfig(format="alpaca_eval", path=str(path))))


def test_instructions_come_in_file_order(tmp_path):
    items = [
        {"instruction": text, "output_1": "a", "preference": 1.0, "generator_1": "g"}
        for text in ("second", "first é")
    ]
    exchanges = read(tmp_path / "m.annotations.json.gz", items)
    assert [one.messages[0].content for one in exchanges] == ["second", "first é"]


def test_an_item_without_instruction_is_corrupt_data(tmp_path):
    with pytest.raises(CorruptDataError, match="item 1 has no text 'instruction'"):
        read(tmp_path / "m.json.gz", [{"instruction": "x"}, {"instruction": None}])
