"""Tests of `rlaif_jax.data.shards`."""

import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlaif_jax.data.manifest import ManifestHead, read_manifest
from rlaif_jax.data.shards import ShardWriter, encode_shard, read_shard
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import write_records
from rlaif_jax.records import Preference


@pytest.fixture
def blocks(preference):
    return [[preference(10 * k + i) for i in range(n)] for k, n in enumerate([3, 0, 4])]


def write(folder, blocks, *, finish=True):
    with ShardWriter(folder) as writer:
        for block in blocks:
            writer.add(block)
        if finish:
            writer.finish()
    return read_manifest(folder)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_come_back_as_they_were_sealed(tmp_path, blocks):
    manifest = write(tmp_path, blocks)
    read = [read_shard(tmp_path, entry) for entry in manifest.entries]
    assert read == [tuple(block) for block in blocks]


def test_columns_are_the_records_fields_in_order(tmp_path, blocks):
    write(tmp_path, blocks)
    schema = pq.read_schema(tmp_path / "shard-000000.parquet")
    assert schema.names == list(Preference.model_fields)
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    for name in ("prompt", "chosen", "rejected"):
        assert schema.field(name).type.value_type == turn
    others = {str(schema.field(name).type) for name in schema.names[3:]}
    assert others == {"string", "double"}


def test_equal_rows_give_equal_bytes(tmp_path, blocks):
    assert encode_shard(blocks[0]) == encode_shard(list(blocks[0]))
    write(tmp_path / "a", blocks)
    write(tmp_path / "b", blocks)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_hugging_face_datasets_loads_the_conversational_form(tmp_path, blocks):
    write(tmp_path, blocks)
    loaded = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "*.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert loaded.num_rows == 7
    first = blocks[0][0]
    assert loaded[0] == first.model_dump(mode="json")
    assert loaded[0]["prompt"] == [{"role": "user", "content": first.prompt[0].content}]
    assert [turn["role"] for turn in loaded[6]["chosen"]] == ["assistant"]


def test_a_new_writer_goes_on_after_the_last_sealed_block(tmp_path, blocks):
    whole = write(tmp_path / "whole", blocks)
    parts = tmp_path / "parts"
    write(parts, blocks[:1], finish=False)
    assert read_manifest(parts).head == ManifestHead(1, False)
    with ShardWriter(parts) as writer:
        done = len(writer.manifest.entries)
        for block in blocks[done:]:
            writer.add(block)
        writer.finish()
        writer.finish()
    assert read_manifest(parts).hashes == whole.hashes
    assert contents(parts) == contents(tmp_path / "whole")


def test_a_block_without_its_line_and_a_torn_line_are_written_again(tmp_path, blocks):
    write(tmp_path / "whole", blocks)
    expected = contents(tmp_path / "whole")
    for torn in (b"", b"{", b'{"seq":1,"file":"shard-000001.parquet"}'):
        folder = tmp_path / f"torn{len(torn)}"
        write(folder, blocks[:1], finish=False)
        (folder / "shard-000001.parquet").write_bytes(b"half a file")
        (folder / ".shard-000001.parquet.77.tmp").write_bytes(b"less than that")
        with (folder / "manifest.jsonl").open("ab") as file:
            file.write(torn)
        write(folder, blocks[1:])
        assert contents(folder) == expected


def test_a_finished_folder_takes_no_more(tmp_path, blocks):
    write(tmp_path, blocks)
    with ShardWriter(tmp_path) as writer, pytest.raises(UsageError, match="finished"):
        writer.add(blocks[0])


def test_a_second_writer_is_refused_while_the_first_is_open(tmp_path, blocks):
    with ShardWriter(tmp_path) as writer:
        with pytest.raises(UsageError, match="written by another process"):
            ShardWriter(tmp_path)
        writer.add(blocks[0])
    with ShardWriter(tmp_path) as writer:
        assert len(writer.manifest.entries) == 1


def test_a_damaged_manifest_is_not_written_to(tmp_path, blocks):
    write(tmp_path, blocks, finish=False)
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"rows":3', b'"rows":4'))
    before = contents(tmp_path)
    with pytest.raises(CorruptDataError, match="changed, lost or swapped"):
        ShardWriter(tmp_path)
    assert contents(tmp_path) == before


def test_any_flipped_byte_is_corrupt_data_that_names_the_file(tmp_path, blocks):
    entry = write(tmp_path, blocks).entries[0]
    path = tmp_path / entry.file
    content = path.read_bytes()
    for at in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(CorruptDataError, match=f"000000.*{entry.sha256}"):
            read_shard(tmp_path, entry)


def test_missing_cut_and_swapped_shards_are_corrupt_data(tmp_path, blocks):
    entries = write(tmp_path, blocks).entries
    path = tmp_path / entries[0].file
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(CorruptDataError, match=f"expected {entries[0].bytes}"):
        read_shard(tmp_path, entries[0])
    path.unlink()
    with pytest.raises(CorruptDataError, match="cannot read sealed shard"):
        read_shard(tmp_path, entries[0])
    path.write_bytes((tmp_path / entries[2].file).read_bytes())
    with pytest.raises(CorruptDataError, match="000000"):
        read_shard(tmp_path, entries[0])


def test_pages_carry_checksums_for_other_readers(preference):
    content = bytearray(encode_shard([preference(i) for i in range(40)]))
    column = pq.ParquetFile(pa.BufferReader(bytes(content))).metadata.row_group(0)
    at = column.column(1).data_page_offset + column.column(1).total_compressed_size // 2
    content[at] ^= 1
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        pq.read_table(pa.BufferReader(bytes(content)), page_checksum_verification=True)


def test_a_writer_killed_at_any_call_loses_nothing(tmp_path, preference):
    rows = [
        preference(n).model_copy(update={"critic": critic})
        for n, critic in enumerate("aaabcc")
    ]
    write_records(tmp_path / "rows.jsonl", rows)
    program = Path(__file__).with_name("kill_writer.py")
    command = [sys.executable, program, tmp_path / "rows.jsonl", tmp_path / "out"]
    calls = ["fsync", "fsync_done", "write", "write_done"]
    done = subprocess.run([*command, *calls], check=True, capture_output=True)
    # 3 blocks sync file, folder and line; opening and the final line sync once each
    assert done.stdout.split() == b"fsync 11 fsync_done 11 write 4 write_done 4".split()


def test_the_module_loads_no_jax():
    code = (
        "import sys, rlaif_jax.data.row_sources, rlaif_jax.data.sources,"
        " rlaif_jax.data.tokenization, rlaif_jax.data.splits;"
        "sys.exit(bool({'jax', 'torch', 'transformers'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
