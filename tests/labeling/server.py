"""A small server with faults on demand, of all APIs that are asked."""

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
        self.odds = (0.75, 0.25)  # of the choices of a decision
        self.constrains = True  # False: ignores the option, as some servers do
        self.port = 0
        self.batches = None  # adds its routes

    @property
    def openai_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def anthropic_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def running(self):
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_post("/v1/decisions", self._decisions)
        app.router.add_post("/v1/messages", self._anthropic)
        if self.batches is not None:
            self.batches.add_routes(app)
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
        return await self._serve(request, openai_body)

    async def _responses(self, request):
        return await self._serve(request, _responses_body)

    async def _decisions(self, request):
        return await self._serve(request, self._decision)

    def _decision(self, text, finish):
        return _decision_body(self.requests[-1], self.odds, finish)

    async def _anthropic(self, request):
        return await self._serve(request, anthropic_body)

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
        question = (document.get("messages") or document["input"])[-1]["content"]
        text = self.answer(question)
        if self.constrains:
            text = _constrained(document, text)
        body = body_of(text, self.finish_reason)
        if self.tokens is not None and document.get("top_logprobs"):
            content = self.tokens(question, text)
            if "choices" in body:
                body["choices"][0]["logprobs"] = {"content": content}
            else:
                body["output"][-1]["content"][0]["logprobs"] = content
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
        "unsafe": (400, _error("invalid_prompt", "flagged"), None),
        "nothing": (200, {"choices": None, "content": None, "answers": None}, None),
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
    if fault in ("failed", "failed-unsafe", "failed-rate", "silent", "cancelled"):
        return _json(_failed_response(fault))
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


def openai_body(text, finish):
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
        "service_tier": "flex",
        "system_fingerprint": "fp_1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 4, "total_tokens": 104},
    }


def _constrained(document, text):
    """What a server makes of a reply that it allows two forms only."""
    options = document.get("structured_outputs")
    if options:
        return text if text in options["choice"] else options["choice"][0]
    form = (document.get("response_format") or {}).get("json_schema")
    for key in ("text", "output_config"):
        form = form or document.get(key, {}).get("format")
    if not form:
        return text
    ((key, value),) = form["schema"]["properties"].items()
    return json.dumps({key: text if text in value["enum"] else value["enum"][0]})


def _responses_body(text, finish):
    part = {"type": "output_text", "text": text, "annotations": []}
    status, details = "completed", None
    if finish == "refusal":
        part = {"type": "refusal", "refusal": text}
    elif finish != "stop":
        reason = {"length": "max_output_tokens"}.get(finish, finish)
        status, details = "incomplete", {"reason": reason}
    message = {"type": "message", "role": "assistant", "content": [part]}
    return {
        "id": "resp_1",
        "object": "response",
        "model": "model-2026",
        "status": status,
        "error": None,
        "incomplete_details": details,
        "service_tier": "default",
        "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, message],
        "usage": {"input_tokens": 100, "output_tokens": 4, "total_tokens": 104},
    }


def _failed_response(fault):
    codes = {
        "failed": "server_error",
        "failed-unsafe": "bio_policy",
        "failed-rate": "rate_limit_exceeded",
    }
    if fault not in codes:
        status = {"silent": "completed"}.get(fault, fault)
        return _responses_body("", "stop") | {"status": status, "output": []}
    error = {"code": codes[fault], "message": "sorry"}
    return _responses_body("", "stop") | {"status": "failed", "error": error}


def _decision_body(document, odds, finish):
    values = [one["value"] for one in document["questions"][0]["choices"]]
    answer = {
        "type": "choice",
        "name": None,
        "choice": values[odds[1] > odds[0]],
        "confidence": max(odds),
        "probabilities": [
            {"value": value, "probability": p}
            for value, p in zip(values, odds, strict=True)
        ],
    }
    if finish == "refusal":
        answer = {"type": "refusal", "name": None}
    return {
        "model": "model-2026",
        "answers": [answer],
        "usage": {"input_tokens": 100, "output_tokens": 1, "total_tokens": 101},
    }


def anthropic_body(text, finish):
    reason = {"stop": "end_turn", "length": "max_tokens"}.get(finish, finish)
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "model-2026",
        "content": [] if finish == "refusal" else [{"type": "text", "text": text}],
        "stop_reason": reason,
        "stop_details": {"type": "refusal", "category": "frontier_llm"}
        if finish == "refusal"
        else None,
        "usage": {
            "input_tokens": 90,
            "cache_read_input_tokens": 10,
            "output_tokens": 4,
            "service_tier": "standard",
        },
    }
