"""Tests of `rlaif_jax.checkpoint.folder`."""

import logging

import pytest

from rlaif_jax.checkpoint.folder import create_folder, open_folder
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.models.config import TransformerConfig

CONFIG = TransformerConfig(
    family="llama",
    vocab_size=16,
    embed=8,
    num_layers=1,
    kv_heads=2,
    q_groups=1,
    head_dim=4,
    ffw=8,
    max_positions=32,
    rope_theta=10000.0,
    norm_eps=1e-5,
    eos_token_id=1,
)


@pytest.fixture
def tokenizer(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(b'{"\xc3\xa9": 1}\r\n')
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_created_folder_opens_with_its_config_and_tokenizer(tmp_path, tokenizer):
    created = create_folder(tmp_path / "run", CONFIG, tokenizer)
    opened = open_folder(tmp_path / "run")
    assert opened == created
    assert opened.config == CONFIG
    names = {path.name for path in opened.tokenizer_dir.iterdir()}
    assert names == {"tokenizer.json", "tokenizer_config.json"}
    copy = opened.tokenizer_dir / "tokenizer.json"
    assert copy.read_bytes() == (tokenizer / "tokenizer.json").read_bytes()


def test_creating_again_finds_the_same_folder(tmp_path, tokenizer):
    first = create_folder(tmp_path / "run", CONFIG, tokenizer)
    assert create_folder(tmp_path / "run", CONFIG, tokenizer) == first
    faster = CONFIG.replace(compute_dtype="bfloat16", remat="full", attention="blocks")
    again = create_folder(tmp_path / "run", faster, first.tokenizer_dir)
    assert again.config == faster  # a choice of the run, not another model


def test_another_model_or_tokenizer_is_refused(tmp_path, tokenizer):
    create_folder(tmp_path / "run", CONFIG, tokenizer)
    with pytest.raises(UsageError, match="with ffw 8 and not 12"):
        create_folder(tmp_path / "run", CONFIG.replace(ffw=12), tokenizer)
    (tokenizer / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match=r"tokenizer\.json is not the same"):
        create_folder(tmp_path / "run", CONFIG, tokenizer)


def test_weights_without_a_tokenizer_are_kept_with_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        folder = create_folder(tmp_path / "run", CONFIG, tmp_path)
    assert "has no tokenizer" in caplog.text
    assert not folder.tokenizer_dir.exists()


def test_what_is_no_model_folder_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no model folder at .*absent"):
        open_folder(tmp_path / "absent")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match="import-hf"):
        open_folder(tmp_path)


def test_a_damaged_model_json_is_corrupt_data(tmp_path, tokenizer):
    folder = create_folder(tmp_path / "run", CONFIG, tokenizer)
    (folder.path / "model.json").write_text('{"vocab_size": 3}')
    with pytest.raises(CorruptDataError, match="not a model config"):
        open_folder(folder.path)
