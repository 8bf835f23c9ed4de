"""Tests of `rlaif_jax.checkpoint.tensors`."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rlaif_jax.checkpoint.tensors import TensorFiles, write_tensors
from rlaif_jax.errors import CorruptDataError, RefusedError, UsageError

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.ones(4, np.float16),
    "c": np.full((2, 2), 0.5, ml_dtypes.bfloat16),
}


@pytest.mark.parametrize("max_bytes", [10**6, 30, 1], ids=["one", "two", "each"])
def test_reads_back_what_was_written(tmp_path, max_bytes):
    files = write_tensors(tmp_path, TENSORS.items(), max_bytes=max_bytes)
    assert len(files) == {10**6: 1, 30: 2, 1: 3}[max_bytes]  # 24 + 8 + 8 bytes
    folder = TensorFiles(tmp_path)
    assert folder.names == TENSORS.keys()
    for name, expected in TENSORS.items():
        actual = folder.read(name, expected.shape)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


def test_the_index_is_the_one_that_transformers_reads(tmp_path):
    write_tensors(tmp_path, TENSORS.items(), max_bytes=30)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 40
    assert index["weight_map"] == {
        "a": "model-00001-of-00002.safetensors",
        "b": "model-00002-of-00002.safetensors",
        "c": "model-00002-of-00002.safetensors",
    }
    assert load_file(tmp_path / index["weight_map"]["b"]).keys() == {"b", "c"}


def test_writing_again_leaves_no_stale_file(tmp_path):
    write_tensors(tmp_path, TENSORS.items(), max_bytes=10**6)
    write_tensors(tmp_path, TENSORS.items(), max_bytes=1)
    assert not (tmp_path / "model.safetensors").exists()
    write_tensors(tmp_path, TENSORS.items(), max_bytes=10**6)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_wrong_shape_is_named(tmp_path):
    write_tensors(tmp_path, TENSORS.items(), max_bytes=10**6)
    with pytest.raises(CorruptDataError, match=r"a in .* has shape \(2, 3\)"):
        TensorFiles(tmp_path).read("a", (3, 2))


def test_a_missing_tensor_is_named(tmp_path):
    write_tensors(tmp_path, TENSORS.items(), max_bytes=10**6)
    with pytest.raises(CorruptDataError, match="no tensor lm_head"):
        TensorFiles(tmp_path).read("lm_head", (1,))


def test_integers_are_refused(tmp_path):
    save_file({"q": np.ones(2, np.int8)}, tmp_path / "model.safetensors")
    with pytest.raises(RefusedError, match="I8"):
        TensorFiles(tmp_path).read("q", (2,))


@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_a_truncated_file_is_corrupt(tmp_path, kept):
    (path,) = write_tensors(tmp_path, TENSORS.items(), max_bytes=10**6)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptDataError, match=r"model\.safetensors"):
        TensorFiles(tmp_path)


def test_a_lost_shard_is_named(tmp_path):
    files = write_tensors(tmp_path, TENSORS.items(), max_bytes=1)
    files[1].unlink()
    with pytest.raises(CorruptDataError, match="model-00002-of-00003"):
        TensorFiles(tmp_path)


def test_a_tensor_that_its_shard_lacks_is_named(tmp_path):
    write_tensors(tmp_path, TENSORS.items(), max_bytes=1)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["d"] = index["weight_map"]["a"]
    path.write_text(json.dumps(index))
    with pytest.raises(CorruptDataError, match="no tensor d"):
        TensorFiles(tmp_path)


@pytest.mark.parametrize(
    "target", ["../secret.safetensors", "/etc/passwd", "..", "a/../b", "..\\x", ""]
)
def test_an_index_cannot_point_out_of_its_folder(tmp_path, target):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a": np.ones(1, np.float32)}, tmp_path / "secret.safetensors")
    index = {"weight_map": {"a": target}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(RefusedError, match="its own folder"):
        TensorFiles(folder)


@pytest.mark.parametrize("weight_map", [None, [], {"a": 3}])
def test_a_malformed_index_is_corrupt(tmp_path, weight_map):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CorruptDataError):
        TensorFiles(tmp_path)


def test_pickled_weights_are_refused_with_the_way_out(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(RefusedError, match=r"safe_serialization=True") as caught:
        TensorFiles(tmp_path)
    assert caught.value.exit_code == 78


def test_an_empty_folder_is_a_wrong_path(tmp_path):
    with pytest.raises(UsageError, match=r"no model\.safetensors"):
        TensorFiles(tmp_path)
