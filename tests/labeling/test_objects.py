"""Tests of files that many machines write, in a folder and in a bucket."""

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlaif_jax.errors import InternalError, UsageError
from rlaif_jax.labeling.objects import FolderObjects, open_objects

MISSING = [n for n in ("obstore", "moto") if not importlib.util.find_spec(n)]
HINT = "pip install 'rlaif_jax[ray]' 'moto[s3]' flask flask-cors"
NO_BUCKET = f"needs {', '.join(MISSING)}: {HINT}"
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def bucket():
    """The address of a bucket of an S3-compatible server on this machine."""
    if MISSING:
        pytest.skip(NO_BUCKET)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/labels", method="PUT"
        )
        urllib.request.urlopen(request).close()
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["folder", "bucket"])
def objects(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return open_objects(str(tmp_path / "storage"))
    port = request.getfixturevalue("bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return open_objects(f"s3://labels/{tmp_path.name}")


def test_an_object_is_written_once(objects):
    assert objects.read("blocks/000001.jsonl") is None
    assert objects.put_if_absent("blocks/000001.jsonl", b"first")
    assert not objects.put_if_absent("blocks/000001.jsonl", b"second")
    assert objects.read("blocks/000001.jsonl") == b"first"


def test_of_many_writers_at_once_one_wins(objects):
    contents = [f"writer {number}".encode() for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda c: objects.put_if_absent("one", c), contents))
    assert sum(won) == 1
    assert objects.read("one") == contents[won.index(True)]
    assert objects.names("") == ["one"]


def test_names_are_those_of_a_folder_in_order(objects):
    for name in ("a/2/x", "a/10/x", "b/1", "a/1"):
        objects.put_if_absent(name, b"")
    assert objects.names("a") == ["a/1", "a/10/x", "a/2/x"]
    assert objects.names("nothing") == []


async def test_a_log_is_read_in_the_order_of_its_lines(objects):
    log = objects.new_log("ledger/7")
    for number in range(3):
        log.append(b"line %d\n" % number)
        await log.flush()
    log.append(b"last\n")
    await log.flush()
    await log.flush()  # nothing waits
    log.close()
    parts = [objects.read(name) for name in objects.names("ledger/7")]
    assert b"".join(parts) == b"line 0\nline 1\nline 2\nlast\n"


async def test_two_logs_of_one_name_are_refused(objects):
    log = objects.new_log("ledger/7")
    log.append(b"mine\n")
    await log.flush()
    with pytest.raises((InternalError, FileExistsError)):
        other = objects.new_log("ledger/7")
        other.append(b"theirs\n")
        await other.flush()
    log.close()
    assert objects.read(objects.names("ledger/7")[0]) == b"mine\n"


async def test_a_folders_log_is_there_line_by_line(tmp_path):
    log = FolderObjects(tmp_path).new_log("log")
    log.append(b"written without a flush\n")
    assert (tmp_path / "log/000000.jsonl").read_bytes() == b"written without a flush\n"
    log.close()
    with pytest.raises(InternalError, match=r"000000\.jsonl"):
        log.append(b"late\n")


def test_what_is_being_written_is_not_listed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".one.tmp").write_bytes(b"half")
    assert FolderObjects(tmp_path).names("a") == []


def test_a_folder_that_takes_no_files_is_named(tmp_path):
    (tmp_path / "blocks").write_text("a file")
    with pytest.raises(InternalError, match="blocks"):
        FolderObjects(tmp_path).put_if_absent("blocks/000000.jsonl", b"")


def test_a_bucket_that_is_gone_is_an_error_without_credentials(monkeypatch):
    if MISSING:
        pytest.skip(NO_BUCKET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "planted-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    monkeypatch.setattr("rlaif_jax.labeling.objects._RETRY_S", 0.1)
    objects = open_objects("s3://labels/x")
    with pytest.raises(InternalError, match="s3://labels/x/one") as caught:
        objects.put_if_absent("one", b"")
    assert "planted" not in str(caught.value)


def test_an_address_of_no_kind_is_refused():
    if MISSING:
        pytest.skip(NO_BUCKET)
    with pytest.raises(UsageError, match="cannot open ftp://host/x"):
        open_objects("ftp://host/x")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UsageError, match="pip install 'rlaif_jax\\[ray\\]'"):
        open_objects("s3://bucket/prefix")
