"""Tests of `rlaif_jax.labeling.body_limit`, against a real local server."""

import contextlib
import gzip

import openai
import pytest
from aiohttp import web

from rlaif_jax.labeling.body_limit import (
    MAX_BODY_BYTES,
    BodyTooLongError,
    read_bounded,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def url(anyio_backend):
    """Serves as many bytes as the path says, packed or without end if it says so."""

    async def serve(request):
        size = int(request.match_info["size"])
        body, headers = b"x" * size, {}
        if request.match_info["kind"] == "endless":
            return await _endless(request)
        if request.match_info["kind"] == "gzip":
            body, headers = gzip.compress(body), {"Content-Encoding": "gzip"}
        return web.Response(body=body, headers=headers)

    app = web.Application()
    app.router.add_post("/{kind}/{size}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b"x" * 100_000)
    return response


@pytest.fixture
async def client(anyio_backend):
    hooks = {"response": [read_bounded]}
    async with openai.DefaultAioHttpClient(event_hooks=hooks) as client:
        yield client


@pytest.mark.parametrize("kind", ["plain", "gzip"])
@pytest.mark.parametrize("size", [0, 1000, MAX_BODY_BYTES])
async def test_a_body_up_to_the_limit_is_read(url, client, kind, size):
    response = await client.post(f"{url}/{kind}/{size}")
    assert response.content == await response.aread() == b"x" * size


async def test_a_packed_body_counts_as_long_as_it_is_unpacked(url, client):
    with pytest.raises(BodyTooLongError, match="over 4,194,304 bytes"):
        await client.post(f"{url}/gzip/{20 * MAX_BODY_BYTES}")


async def test_what_is_beyond_the_limit_is_not_read(url, client):
    with pytest.raises(BodyTooLongError):
        await client.post(f"{url}/endless/0")
    response = await client.post(f"{url}/plain/1")
    assert response.content == b"x"
