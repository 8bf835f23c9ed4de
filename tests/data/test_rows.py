"""Tests of `rlaif_jax.data.rows`."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.rows import field, read_rows
from rlaif_jax.data.sources import read_prompts
from rlaif_jax.errors import CorruptDataError, UsageError

ROWS = [{"chosen": "é", "n": 1, "turns": [{"role": "user"}]}, {"chosen": "b", "n": 2}]


def source(path, **options):
    return SourceConfig(format="hh", path=str(path), **options)


def write(path):
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    content = {
        ".jsonl": lines.encode(),
        ".jsonl.gz": gzip.compress(lines.encode()),
        ".json": json.dumps(ROWS).encode(),
        ".json.gz": gzip.compress(json.dumps(ROWS).encode()),
    }
    path.write_bytes(content[path.name.removeprefix("x")])


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json", ".json.gz"])
def test_a_file_is_read_by_its_name(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    write(path)
    rows = list(read_rows(source(path)))
    assert [row.fields for row in rows] == ROWS
    assert rows[1].where == f"{path} row 1"


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_a_json_file_may_hold_one_object_a_line(tmp_path, suffix):
    content = ("\n " + "".join(json.dumps(row) + "\n" for row in ROWS)).encode()
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".json.gz" else content)
    assert [row.fields for row in read_rows(source(path))] == ROWS


def test_a_parquet_file_holds_rows_too(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    texts = [row.fields["chosen"] for row in read_rows(source(path))]
    assert texts == ["é", "b"]


def test_a_folder_is_read_by_name(tmp_path):
    for name in ("x.jsonl", "x.json"):
        write(tmp_path / name)
    (tmp_path / "README.md").write_text("x")
    (tmp_path / ".x.jsonl").write_text("garbage")
    where = [row.where for row in read_rows(source(tmp_path))]
    assert where == [
        f"{tmp_path}/x{suffix} row {n}"
        for suffix in (".json", ".jsonl")
        for n in (0, 1)
    ]


def test_rows_of_a_folder_with_several_splits_are_of_the_one_asked_for(tmp_path):
    for split in ("train", "test"):
        line = json.dumps({"chosen": split}) + "\n"
        (tmp_path / f"{split}.jsonl").write_text(line)

    def found(path, **options):
        rows = read_rows(source(path, **options))
        return [(row.fields["chosen"], row.split) for row in rows]

    assert found(tmp_path) == [("train", "train")]
    assert found(tmp_path, split="test") == [("test", "test")]
    assert found(tmp_path / "test.jsonl") == [("test", "test")]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.jsonl.gz", "x.parquet"])
def test_garbage_is_corrupt_data_that_names_the_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"garbage{")
    with pytest.raises(CorruptDataError, match=name):
        list(read_rows(source(tmp_path / name)))


def test_lines_that_are_no_objects_are_corrupt_data(tmp_path):
    (tmp_path / "x.jsonl").write_text("[1]\n")
    with pytest.raises(CorruptDataError, match="row 0 is list, not an object"):
        list(read_rows(source(tmp_path / "x.jsonl")))


def test_a_path_without_rows_is_a_usage_error_that_says_what_to_do(tmp_path):
    (tmp_path / "x.txt").write_text("x")
    for path in (tmp_path / "gone", tmp_path):
        with pytest.raises(UsageError, match=r"no \.jsonl or .*reader=huggingface"):
            list(read_rows(source(path)))
    with pytest.raises(UsageError, match=r"x\.txt is none of \.jsonl,"):
        list(read_rows(source(tmp_path / "x.txt")))


def test_a_field_of_another_type_is_corrupt_data_that_names_the_row(tmp_path):
    write(tmp_path / "x.jsonl")
    row = next(read_rows(source(tmp_path / "x.jsonl")))
    assert field(row, "n", int) == 1
    with pytest.raises(CorruptDataError, match="row 0: 'n' is int"):
        field(row, "n", str)
    with pytest.raises(CorruptDataError, match="'gone' is NoneType"):
        field(row, "gone", str)


@pytest.fixture
def hub_folder(tmp_path, monkeypatch, made_up):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return made_up("hh")


def test_hugging_face_reads_the_same_as_from_the_file(hub_folder):
    by_file = read_prompts(source(hub_folder))
    by_name = read_prompts(source(hub_folder, reader="huggingface"))
    assert by_name.content == by_file.content
    assert len(by_name.judged) == 2


class TinyQuestions(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.2.0")
    code_path = None  # a test module is no package with checksum files

    def _info(self):
        text = tfds.features.Text()
        answers = tfds.features.Sequence(
            {"text": text, "pm_score": tfds.features.Scalar(np.int32)}
        )
        features = tfds.features.FeaturesDict({"question": text, "answers": answers})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, _):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        answers = [{"text": "é", "pm_score": 1}, {"text": "b", "pm_score": 2}]
        yield 0, {"question": "q é", "answers": answers}


def test_tfds_reads_text_numbers_and_nested_lists(tmp_path):
    builder = TinyQuestions(data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare()
    read = read_prompts(
        SourceConfig(format="stack_exchange", path=str(builder.data_dir), reader="tfds")
    )
    assert read.prompts[0].messages[0].content == "q é"
    (pairs,) = read.judged.values()
    assert [(one.chosen.text, one.rejected.text) for one in pairs] == [("b", "é")]
