"""A headless Chromium, driven over its DevTools protocol."""

import asyncio
import itertools
import shutil
from contextlib import asynccontextmanager

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_PATIENCE_S = 60.0


class Page:
    """One page, and what it reported."""

    def __init__(self, socket):
        self._socket = socket
        self._numbers = itertools.count(1)
        self.events = []

    async def send(self, method, **params):
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json(timeout=_PATIENCE_S)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    async def open(self, path):
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")
        await self.send("Page.navigate", url=path.as_uri())
        async with asyncio.timeout(_PATIENCE_S):
            while await self.evaluate("document.readyState") != "complete":
                await asyncio.sleep(0.05)

    async def evaluate(self, expression):
        result = await self.send(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def named(self, method):
        return [event for event in self.events if event["method"] == method]


@asynccontextmanager
async def opened(path, profile, *, width=1280, height=900, is_phone=False):
    """A page of a file, with its script run."""
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await _port(profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                targets = await response.json()
            address = next(
                one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page"
            )
            async with session.ws_connect(address, max_msg_size=0) as socket:
                page = Page(socket)
                await page.send(
                    "Emulation.setDeviceMetricsOverride",
                    width=width,
                    height=height,
                    deviceScaleFactor=2 if is_phone else 1,
                    mobile=is_phone,
                )
                await page.open(path)
                yield page
    finally:
        process.terminate()
        await process.wait()


async def _port(file):
    async with asyncio.timeout(_PATIENCE_S):
        while not file.exists() or not file.read_text().strip():
            await asyncio.sleep(0.05)
    return file.read_text().split()[0]
