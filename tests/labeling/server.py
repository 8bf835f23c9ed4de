"""A small chat server with faults on demand, in both wire formats."""

import asyncio
import contextlib
import json
import re
from collections import deque
from collections.abc import Callable

from aiohttp import web

_SHOWN = re.compile(
    r"\[\[\[Output \(([ab])\) (\w+)\n(.*?)\n\2\]\]\]",
    re.DOTALL,
)


def prefer_good(text: str) -> str:
    """Chooses the output that contains `good`; the first one shown if both do."""
    shown = {name: body for name, _, body in _SHOWN.findall(text)}
    if not shown:
        return f"echo {text}"
    return "Output (a)" if "good" in shown["a"] else "Output (b)"


class ChatServer:
    """Serves on a free port of loopback; `faults` are used up one a request."""

    def __init__(self, answer: Callable[[str], str] = prefer_good):
        self.answer = answer
        self.faults: deque[str] = deque()
        self.every_fault: str | None = None  # for every request
        self.finish_reason = "stop"
        self.requests: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.max_in_flight = 0
        self.latency_s = 0.0
        self.extra_headers: dict[str, str] = {}  # of every answer in JSON
        self.rate: RateLimit | None = None
        self.tokens: Callable[[str, str], object] | None = None  # of question, answer
        self.port = 0

    @property
    def openai_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def anthropic_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def running(self):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_post("/v1/messages", self._anthropic)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _openai(self, request):
        return await self._serve(request, _openai_body)

    async def _anthropic(self, request):
        return await self._serve(request, _anthropic_body)

    async def _serve(self, request, body_of):
        document = await request.json()
        self.requests.append(document)
        self.headers.append(dict(request.headers))
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency_s)
            return await self._answer(request, document, body_of)
        finally:
            self.in_flight -= 1

    async def _answer(self, request, document, body_of):
        if self.rate is not None:
            is_refused = not self.rate.take()
            self.extra_headers = self.rate.headers()
            if is_refused:
                return _json(_error("rate_limit", "slow"), 429, self.extra_headers)
        fault = self.every_fault
        if fault is None and self.faults:
            fault = self.faults.popleft()
        if fault:  # an empty one is an answer
            return await _faulty(request, fault, body_of, self.extra_headers)
        question = document["messages"][-1]["content"]
        text = self.answer(question)
        body = body_of(text, self.finish_reason)
        if self.tokens is not None and document.get("logprobs"):
            content = self.tokens(question, text)
            body["choices"][0]["logprobs"] = {"content": content}
        return _json(body, headers=self.extra_headers)


class RateLimit:
    """Requests per minute on a clock of the test's, told as OpenAI tells them."""

    def __init__(self, limit, clock):
        self.limit = self.level = limit
        self.clock = clock
        self.filled_at = clock()
        self.num_refused = 0

    def take(self):
        now = self.clock()
        risen = self.level + (now - self.filled_at) * self.limit / 60
        self.level, self.filled_at = min(self.limit, risen), now
        if self.level < 0.999:
            self.num_refused += 1
            return False
        self.level -= 1
        return True

    def headers(self):
        reset_s = (self.limit - self.level) * 60 / self.limit
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(int(self.level)),
            "x-ratelimit-reset-requests": f"{reset_s:.3f}s",
        }


def _json(body, status=200, headers=None):
    return web.json_response(body, status=status, headers=headers)


def _error(code, message):
    return {"error": {"type": code, "code": code, "message": message}}


async def _faulty(request, fault, body_of, extra_headers):
    whole = json.dumps(body_of("Output (a)", "stop")).encode()
    headers = {"Content-Type": "application/json"}
    plain = {
        "429": (429, _error("rate_limit_exceeded", "slow down"), None),
        "429-later": (429, _error("rate_limit", "slow"), {"Retry-After": "7"}),
        "429-never": (429, _error("rate_limit", "slow"), {"Retry-After": "9999"}),
        "quota": (429, _error("insufficient_quota", "no credit"), None),
        "500": (500, _error("server_error", "oops"), None),
        "529": (529, _error("overloaded_error", "overloaded"), None),
        "404": (404, _error("model_not_found", "no such model"), None),
        "400": (400, _error("invalid_request", "bad option"), None),
        "too-long": (400, _error("context_length_exceeded", "too long"), None),
        "error-object": (200, _error("server_error", "oops"), None),
        "nothing": (200, {"choices": None, "content": None}, None),
        "list": (200, [], None),
    }
    if fault in plain:
        status, body, extra = plain[fault]
        return _json(body, status, {**(extra or {}), **extra_headers})
    if fault == "401":  # some servers repeat the key
        key = request.headers["Authorization"]
        return _json(_error("invalid_api_key", f"bad key {key}"), 401)
    if fault == "html":
        return web.Response(text="<html>maintenance</html>", content_type="text/html")
    broken = {
        "truncated": whole[: len(whole) // 2],
        "not-utf8": whole.replace(b"(a)", b"\xff\xc3("),
        "huge": whole.replace(b"(a)", b"a" * 10_000_000),
    }
    if fault in broken:
        return web.Response(body=broken[fault], headers=headers)
    if fault == "redirect":
        raise web.HTTPTemporaryRedirect(location="http://127.0.0.1:1/steal")
    if fault in ("refusal", "content_filter", "length"):
        return _json(body_of("I can not help with that.", fault))
    if fault == "no-usage":
        body = body_of("Output (a)", "stop")
        del body["usage"]
        return _json(body)
    if fault == "drop":
        request.transport.close()
        return web.Response()
    return await _slow(request, fault, headers)


async def _slow(request, fault, headers):
    assert fault in ("drip", "hang"), fault
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in range(2000):
            if fault == "drip":
                await response.write(b" ")
            await asyncio.sleep(0.02)
    return response


def _openai_body(text, finish):
    message = {"role": "assistant", "content": text}
    if finish == "refusal":
        message, finish = (
            {"role": "assistant", "content": None, "refusal": text},
            "stop",
        )
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "model-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 4, "total_tokens": 104},
    }


def _anthropic_body(text, finish):
    reason = {"stop": "end_turn", "length": "max_tokens"}.get(finish, finish)
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "model-2026",
        "content": [] if finish == "refusal" else [{"type": "text", "text": text}],
        "stop_reason": reason,
        "usage": {
            "input_tokens": 90,
            "cache_read_input_tokens": 10,
            "output_tokens": 4,
        },
    }
