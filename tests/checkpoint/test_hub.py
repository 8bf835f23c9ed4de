"""Tests of `rlaif_jax.checkpoint.hub`, against a hub of one model on this machine."""

import asyncio
import hashlib
import threading

import pytest
from aiohttp import web

from rlaif_jax.checkpoint import import_hf
from rlaif_jax.checkpoint.hub import download
from rlaif_jax.errors import UsageError

COMMIT = "0123456789" * 4


def build_hub(files, asked):
    """The part of the hub's HTTP interface that a download needs."""

    async def tree(request):
        if request.match_info["revision"] != COMMIT:
            headers = {"X-Error-Code": "RevisionNotFound"}
            return web.json_response({"error": "no"}, status=404, headers=headers)
        rows = [
            {"type": "file", "path": name, "size": len(raw), "oid": sha(raw)}
            for name, raw in files.items()
        ]
        return web.json_response(rows)

    async def resolve(request):
        name = request.match_info["name"]
        asked.append(name)
        headers = {"ETag": f'"{sha(files[name])}"', "X-Repo-Commit": COMMIT}
        return web.Response(body=files[name], headers=headers)

    app = web.Application()
    app.router.add_get("/api/models/team/model/tree/{revision}", tree)
    app.router.add_get("/team/model/resolve/{revision}/{name}", resolve)
    return app


def sha(raw):
    return hashlib.sha1(raw, usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def online(tmp_path, monkeypatch):
    """The other tests may not; here all there is to reach is this machine."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "c"))


@pytest.fixture
def hub(tmp_path, torch_model):
    """Its address, its files and what was asked for."""
    torch_model("llama").save_pretrained(tmp_path / "model", max_shard_size="20KB")
    files = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    files["tokenizer.json"] = b"{}"
    files["pytorch_model.bin"] = files["modeling.py"] = b"danger"
    files["consolidated.safetensors"] = b"the same again"
    asked, started, ended, place = [], threading.Event(), threading.Event(), []

    async def serve():
        runner = web.AppRunner(build_hub(files, asked), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        place.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        started.set()
        while not ended.is_set():
            await asyncio.sleep(0.02)
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    yield place[0], files, asked
    ended.set()
    thread.join(10)


def test_only_what_is_read_is_downloaded_and_only_once(hub, tmp_path):
    endpoint, files, asked = hub
    folder = download("team/model", COMMIT, endpoint=endpoint)
    left = {"pytorch_model.bin", "modeling.py", "consolidated.safetensors"}
    found = {path.name for path in folder.iterdir()}
    assert found == files.keys() - left
    for name in found:
        assert (folder / name).read_bytes() == files[name]
    config, _ = import_hf(folder)
    assert config.num_layers == 2
    asked.clear()
    assert download("team/model", COMMIT, endpoint=endpoint) == folder
    assert asked == []


def test_an_unknown_commit_is_told(hub):
    with pytest.raises(UsageError, match=r"model at ffff.*local folder"):
        download("team/model", "f" * 40, endpoint=hub[0])


def test_without_network_a_model_that_is_not_cached_is_told(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=r"cannot get team/model.*local folder"):
        download("team/model", COMMIT, endpoint="http://127.0.0.1:9")


def test_a_name_that_is_none_is_told():
    with pytest.raises(UsageError, match="cannot get"):
        download("a/b/c", COMMIT, endpoint="http://127.0.0.1:9")
