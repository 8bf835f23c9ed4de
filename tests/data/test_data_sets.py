"""Tests of `rlaif_jax.data.data_sets`."""

from types import SimpleNamespace

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.data_sets import huggingface_version, load_huggingface, one_line
from rlaif_jax.errors import UsageError

COMMIT = "0123456789" * 4
SOURCE = SourceConfig(
    format="huggingface", path="somebody/something", data_dir="part", revision=COMMIT
)


def test_the_version_names_the_commit_that_was_found(monkeypatch):
    url = f"hf://datasets/somebody/something@{COMMIT}/train.jsonl"
    info = SimpleNamespace(version="1.0.0", download_checksums={url: {}})
    monkeypatch.setattr(
        "datasets.load_dataset", lambda *_, **__: SimpleNamespace(info=info)
    )
    branch = SOURCE.model_copy(update={"revision": None})
    assert huggingface_version(branch) == {"version": "1.0.0", "revision": COMMIT}


def test_a_data_set_is_asked_for_by_folder_and_commit_and_never_for_its_code(
    monkeypatch,
):
    asked = {}
    monkeypatch.setattr(
        "datasets.load_dataset", lambda *path, **options: asked.update(options)
    )
    load_huggingface(SOURCE)
    assert asked == {"data_dir": "part", "split": "train", "revision": COMMIT}


def test_a_name_that_is_not_there_is_a_usage_error(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    with pytest.raises(UsageError, match="no Hugging Face data set 'somebody/some"):
        load_huggingface(SOURCE)


def test_an_error_fits_on_a_line():
    assert one_line(ValueError("a\n  b" + "c" * 300)) == "a b" + "c" * 197
