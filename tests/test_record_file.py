"""Tests of `rlaif_jax.record_file`."""

import gzip
import os

import numpy as np
import pytest

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import read_records, write_records
from rlaif_jax.record_file import RecordFile, Records
from rlaif_jax.records import Message, Prompt


def prompts(number):
    turns = [(Message(role="user", content=f"é {n}" * n),) for n in range(number)]
    return [Prompt.create(one, source="test") for one in turns]


@pytest.fixture(params=["prompts.jsonl", "prompts.jsonl.gz"])
def path(request, tmp_path):
    plain = tmp_path / "prompts.jsonl"
    write_records(plain, prompts(20))
    text = plain.read_bytes().replace(b"\n", b"\n\n  \n", 2).rstrip(b"\n")
    plain.write_bytes(text)  # blank lines, and a last one without its end
    if request.param.endswith(".gz"):
        (tmp_path / request.param).write_bytes(gzip.compress(text))
    return tmp_path / request.param


def test_records_are_read_in_any_order(path):
    file = RecordFile(path, Prompt)
    found = list(file.scan())
    assert [record for _, record in found] == list(read_records(path, Prompt))
    records = Records(file, np.array([span for span, _ in found], np.int64))
    assert len(records) == 20 and list(records) == prompts(20)
    assert records[13] == prompts(20)[13] and records[-1] == prompts(20)[-1]
    assert list(records[5:8]) == prompts(20)[5:8] and not records[20:]
    with pytest.raises(IndexError):
        records[20]


def test_a_line_that_is_no_record_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    write_records(path, prompts(2))
    path.write_bytes(path.read_bytes() + b'{"prompt_id": "\xff"}\n')
    with pytest.raises(CorruptDataError, match=r"x\.jsonl:3 is not a Prompt"):
        list(RecordFile(path, Prompt).scan())


def test_a_file_that_is_written_into_meanwhile_is_not_believed(tmp_path):
    path = tmp_path / "x.jsonl"
    write_records(path, prompts(2))
    file = RecordFile(path, Prompt)
    (first, record), _ = file.scan()
    write_records(path, prompts(1))  # a new file of that name is another one
    assert file.at(first) == record
    file = RecordFile(path, Prompt)
    with path.open("ab") as open_file:
        open_file.write(b"\n")
        os.utime(open_file.fileno(), ns=(1, 1))
    with pytest.raises(CorruptDataError, match="was changed"):
        file.at(first)


def test_what_is_not_there_or_not_packed_is_told(tmp_path):
    with pytest.raises(UsageError, match="no Prompt file at"):
        RecordFile(tmp_path / "x.jsonl", Prompt)
    (tmp_path / "x.gz").write_bytes(b"plain")
    with pytest.raises(CorruptDataError, match=r"cannot read .*x\.gz"):
        RecordFile(tmp_path / "x.gz", Prompt)
