"""Tests of `rlaif_jax.data.tables`."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.tables import read_huggingface, read_parquet, read_tfds
from rlaif_jax.errors import CorruptDataError, UsageError

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]


def texts(exchanges):
    return [
        one.dropped or [(turn.role, turn.content) for turn in one.messages]
        for one in exchanges
    ]


def parquet(path, **columns):
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path, write_page_checksum=True)
    return SourceConfig(format="parquet", path=str(path))


def test_a_parquet_column_of_text_or_of_conversations(tmp_path):
    source = parquet(tmp_path / "a.parquet", prompt=["é", None], other=[1, 2])
    assert texts(read_parquet(source)) == [[("user", "é")], "empty"]
    source = parquet(tmp_path / "b.parquet", prompt=[CHAT, [CHAT[1]]])
    assert texts(read_parquet(source)) == [[("user", "hi")], "no_user_turn"]


def test_a_folder_of_parquet_files_is_read_by_name(tmp_path):
    parquet(tmp_path / "d" / "b.parquet", prompt=["second"])
    parquet(tmp_path / "d" / "a.parquet", prompt=["first"])
    source = SourceConfig(format="parquet", path=str(tmp_path / "d"))
    assert texts(read_parquet(source)) == [[("user", "first")], [("user", "second")]]


def test_a_parquet_file_called_test_stays_held_out(tmp_path):
    parquet(tmp_path / "d" / "test-0.parquet", prompt=["held out"])
    parquet(tmp_path / "d" / "train-0.parquet", prompt=["free"])
    exchanges = read_parquet(SourceConfig(format="parquet", path=str(tmp_path / "d")))
    found = [(one.messages[0].content, one.split) for one in exchanges]
    assert found == [("held out", "test"), ("free", "train")]


def test_a_column_that_is_not_there_names_those_that_are(tmp_path):
    source = parquet(tmp_path / "a.parquet", other=["x"], prompts=["x"])
    with pytest.raises(UsageError, match=r"'prompt': .* \['prompts', 'other'\]"):
        list(read_parquet(source))


def test_a_missing_parquet_file_is_a_usage_error(tmp_path):
    for path in (tmp_path / "gone.parquet", tmp_path):
        source = SourceConfig(format="parquet", path=str(path))
        with pytest.raises(UsageError, match="no Parquet file at"):
            list(read_parquet(source))


def test_a_flipped_byte_in_a_parquet_page_is_corrupt_data(tmp_path):
    path = tmp_path / "a.parquet"
    source = parquet(path, prompt=[f"text {i}" for i in range(50)])
    content = bytearray(path.read_bytes())
    content[120] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptDataError, match=r"a\.parquet"):
        list(read_parquet(source))
    path.write_bytes(b"garbage")
    with pytest.raises(CorruptDataError, match=r"a\.parquet"):
        list(read_parquet(source))


def test_a_cell_of_another_type_is_corrupt_data_that_names_the_row(tmp_path):
    with pytest.raises(CorruptDataError, match="row 0: int is neither"):
        list(read_parquet(parquet(tmp_path / "a.parquet", prompt=[1])))


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [{"prompt": "é"}, {"prompt": "b"}]
    for split in ("train", "test"):
        lines = [json.dumps({**row, "chat": CHAT}) + "\n" for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_hugging_face_data_set_from_a_folder(hub_folder, split):
    source = SourceConfig(format="huggingface", path=str(hub_folder), split=split)
    exchanges = list(read_huggingface(source))
    assert texts(exchanges) == [[("user", "é")], [("user", "b")]]
    assert {one.split for one in exchanges} == {split}
    chats = read_huggingface(source.model_copy(update={"column": "chat"}))
    assert texts(chats) == [[("user", "hi")]] * 2


def test_hugging_face_errors_name_what_is_wrong(hub_folder):
    good = SourceConfig(format="huggingface", path=str(hub_folder))
    for update, reason in [
        ({"path": "nobody/nothing"}, "no Hugging Face data set 'nobody/nothing'"),
        ({"path": "/gone/set"}, "'/gone/set'"),
        ({"split": "dev"}, "split 'dev'"),
        ({"column": "text"}, "no column 'text'"),
    ]:
        with pytest.raises(UsageError, match=reason):
            list(read_huggingface(good.model_copy(update=update)))


def test_unreadable_hugging_face_files_are_corrupt_data(hub_folder):
    (hub_folder / "train.jsonl").write_text("garbage{")
    with pytest.raises(CorruptDataError, match="cannot read"):
        source = SourceConfig(format="huggingface", path=str(hub_folder))
        list(read_huggingface(source))


class TinyChats(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # a test module is no package with checksum files

    def _info(self):
        text = tfds.features.Text()
        chat = tfds.features.Sequence({"role": text, "content": text})
        features = tfds.features.FeaturesDict({"prompt": text, "chat": chat})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, _):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(3):
            yield i, {"prompt": f"é {i}", "chat": CHAT}


@pytest.fixture(scope="session")
def tfds_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    builder = TinyChats(data_dir=folder, file_format="array_record")
    builder.download_and_prepare()
    return str(builder.data_dir)


def test_a_tfds_folder_without_tensorflow(tfds_folder):
    source = SourceConfig(format="tfds", path=tfds_folder)
    read = sorted(texts(read_tfds(source)))
    assert read == [[("user", f"é {i}")] for i in range(3)]
    chats = read_tfds(source.model_copy(update={"column": "chat"}))
    assert texts(chats) == [[("user", "hi")]] * 3


def test_tfds_errors_name_what_is_wrong(tfds_folder, tmp_path):
    good = SourceConfig(format="tfds", path=tfds_folder)
    for update, reason in [
        ({"path": "no_such_set"}, "no TFDS data set 'no_such_set'"),
        ({"path": str(tmp_path)}, "Could not read dataset info"),
        ({"split": "dev"}, "Unknown split 'dev'"),
        ({"column": "text"}, r"\['.*prompt.*'\]"),
    ]:
        with pytest.raises(UsageError, match=reason):
            list(read_tfds(good.model_copy(update=update)))
