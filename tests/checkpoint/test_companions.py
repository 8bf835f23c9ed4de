"""Tests of `rlaif_jax.checkpoint.companions`."""

import json

import pytest

from rlaif_jax.checkpoint.card import MARK, Lineage
from rlaif_jax.checkpoint.companions import write_companions
from rlaif_jax.errors import UsageError
from rlaif_jax.models import preset

TINY = preset("lab-tiny").replace(bos_token_id=1, eos_token_id=2)


@pytest.fixture
def tokenizer(tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    (folder / "notes.txt").write_text("private")
    return folder


def write(out, tokenizer):
    lineage = Lineage(base_model="team/model")
    write_companions(
        out, TINY, tokenizer_dir=tokenizer, lineage=lineage, dtype="float32"
    )


def test_card_tokenizer_and_ends_are_written_and_nothing_else(tmp_path, tokenizer):
    write(tmp_path / "out", tokenizer)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"README.md", "tokenizer.json", "generation_config.json"}
    ends = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert ends == {"bos_token_id": 1, "eos_token_id": 2}
    assert "base_model: team/model" in (tmp_path / "out" / "README.md").read_text()


def test_a_generation_config_is_copied_as_it_is(tmp_path, tokenizer):
    (tokenizer / "generation_config.json").write_text('{"top_k": 3}')
    write(tmp_path / "out", tokenizer)
    copied = (tmp_path / "out" / "generation_config.json").read_text()
    assert copied == '{"top_k": 3}'


def test_weights_of_others_are_not_replaced(tmp_path, tokenizer):
    out = tmp_path / "out"
    write(out, tokenizer)
    (out / "model.safetensors").write_bytes(b"ours")
    write(out, tokenizer)  # our card lies beside them
    (out / "README.md").write_text("somebody's")
    with pytest.raises(UsageError, match=r"model.safetensors was not written by"):
        write(out, tokenizer)
    assert MARK not in (out / "README.md").read_text()


def test_a_folder_without_tokenizer_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"no tokenizer in .*: tokenizer.json is"):
        write(tmp_path / "out", tmp_path)
