"""Tests of `rlaif_jax.data.tokenizer`."""

import pytest

from rlaif_jax.data.tokenizer import leading_ids, load_tokenizer, special_texts
from rlaif_jax.errors import CorruptDataError, UsageError


def test_a_saved_tokenizer_comes_back_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    text = "What is é 🌳?"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.eos_token_id == tokenizer.eos_token_id
    assert loaded.chat_template == tokenizer.chat_template


def test_no_tokenizer_is_a_usage_error(tmp_path):
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UsageError, match="no tokenizer at"):
            load_tokenizer(folder)


def test_a_damaged_tokenizer_is_corrupt_data(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("garbage")
    with pytest.raises(CorruptDataError, match="cannot read the tokenizer"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_without_end_token_is_refused(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(path.read_text().replace('"eos_token"', '"unused"'))
    with pytest.raises(UsageError, match="names no eos_token"):
        load_tokenizer(tmp_path)


def test_the_leading_token_is_the_post_processors(tokenizer, bos_tokenizer, tmp_path):
    assert leading_ids(tokenizer) == ()
    assert leading_ids(bos_tokenizer) == (bos_tokenizer.bos_token_id,)
    bos_tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert leading_ids(loaded) == (bos_tokenizer.bos_token_id,)


def test_special_texts_are_the_control_tokens(tokenizer):
    assert special_texts(tokenizer) == ("</s>", "<s>", "<|im_end|>", "<|im_start|>")
