"""A chat server in a process of its own, in both wire formats, that counts everything.

    python benchmarks/label_arms/server.py '{"latency_s": 0.05}'

Prints its port. What it answers is a function of the question alone, and what goes
wrong a function of the question and of how often it was asked: so two runs meet the
same faults, whatever their timing. `GET /stats` tells the counts, `GET /log` the calls.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import re
import resource
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import web

SHOWN = re.compile(r"\[\[\[Output \([ab]\) (\w+)\n(.*?)\n\1\]\]\]", re.DOTALL)
FAULTS = {  # relative shares
    "429": 1,
    "429-later": 1,
    "500": 1,
    "529": 1,
    "drop": 1,
    "drip": 1,
    "truncated": 1,
    "html": 1,
    "refusal": 1,
    "wrong-label": 1,
    "huge": 1,
    "not-utf8": 1,
}
ANSWERS = {"", "refusal", "wrong-label"}  # ends that are no failure of the call
FREE = {"429", "429-later", "500", "529"}  # ends that no provider bills
HUGE_BYTES = 10_000_000
DRIP_S = 0.1
ANSWER_TOKENS = 4


@dataclass(frozen=True)
class Behaviour:
    """How the server treats calls.

    Attributes:
      latency_s: Of every answer.
      spread: Of the latency: drawn from its (1 - spread) to (1 + spread) fold.
      latency_seed: Of that draw.
      faults: Share of the answers that are one of `FAULTS`.
      fault_seed: Of the faults.
      retry_after_s: What the 429s with a wish ask for.
      biased: Share of the questions whose answer is always (a).
    """

    latency_s: float = 0.05
    spread: float = 0.0
    latency_seed: int = 0
    faults: float = 0.0
    fault_seed: int = 0
    retry_after_s: float = 1.0
    biased: float = 0.1


@dataclass
class Counts:
    """What reached the server so far."""

    requests: int = 0
    ended: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    billed_calls: int = 0
    prompt_tokens: int = 0  # billed
    completion_tokens: int = 0
    ends: dict[str, int] = field(default_factory=dict)


class Server:
    """The handler of all requests, and what it remembers."""

    def __init__(self, behaviour: Behaviour):
        self.behaviour = behaviour
        self.counts = Counts()
        self.asked: dict[bytes, int] = {}  # question to its calls so far
        self.log: list[tuple[str, int, str, float, float]] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, of whatever kind."""
        if request.method == "GET":
            return web.json_response(
                self.log if request.path == "/log" else self.stats()
            )
        counts = self.counts
        counts.requests += 1
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        try:
            return await self._answer(request)
        finally:
            counts.in_flight -= 1
            counts.ended += 1

    def stats(self) -> dict[str, Any]:
        """Counts, and the processor's time of this process."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return asdict(self.counts) | {"cpu_s": used.ru_utime + used.ru_stime}

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        begun_at = time.monotonic()
        document = json.loads(await request.read())
        question = document["messages"][-1]["content"]
        key = hashlib.sha256(question.encode("utf-8", "surrogatepass")).digest()[:16]
        attempt = self.asked[key] = self.asked.get(key, 0) + 1
        fault = self._fault(key, attempt)
        self._bill(fault, question, document)
        await asyncio.sleep(self._latency_s(key, attempt))
        text = verdict(question, self.behaviour.biased)
        response = await respond(request, fault, text, document, self.behaviour)
        ended_at = time.monotonic()
        if self.behaviour.faults:
            self.log.append((key.hex(), attempt, fault, begun_at, ended_at))
        return response

    def _fault(self, key: bytes, attempt: int) -> str:
        """What goes wrong with a call; empty: nothing."""
        if not self.behaviour.faults:
            return ""
        draw = random.Random(f"{self.behaviour.fault_seed} {key.hex()} {attempt}")
        if draw.random() >= self.behaviour.faults:
            return ""
        return draw.choices(list(FAULTS), list(FAULTS.values()))[0]

    def _latency_s(self, key: bytes, attempt: int) -> float:
        if not self.behaviour.spread:
            return self.behaviour.latency_s
        draw = random.Random(f"{self.behaviour.latency_seed} {key.hex()} {attempt}")
        width = self.behaviour.spread
        return self.behaviour.latency_s * draw.uniform(1 - width, 1 + width)

    def _bill(self, fault: str, question: str, document: dict[str, Any]) -> None:
        """Every call is billed when it arrives, but for those that no provider bills.

        A broken answer is billed in full: the worst that can be behind it.
        """
        self.counts.ends[fault] = self.counts.ends.get(fault, 0) + 1
        if fault in FREE:
            return
        answer = ANSWER_TOKENS if fault in ANSWERS else document["max_tokens"]
        self.counts.billed_calls += 1
        self.counts.prompt_tokens += prompt_tokens(question)
        self.counts.completion_tokens += answer


def verdict(question: str, biased: float) -> str:
    """The better output by a hash of it, so the same one in both orders.

    For a share of the questions it is the one shown first, in whichever order.
    """
    shown = [body for _, body in SHOWN.findall(question)] or [question, ""]
    (first, second), bias = map(_draw, shown), _draw(question)
    return "Output (a)" if bias < biased or first > second else "Output (b)"


def _draw(text: str) -> float:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def prompt_tokens(question: str) -> int:
    """As a provider may count them: one for four characters."""
    return len(question) // 4 + 1


async def respond(
    request: web.BaseRequest,
    fault: str,
    text: str,
    document: dict[str, Any],
    behaviour: Behaviour,
) -> web.StreamResponse:
    """The answer, or what goes wrong with it."""
    is_openai = request.path.endswith("/chat/completions")
    question = document["messages"][-1]["content"]
    body_of = openai_body if is_openai else anthropic_body
    if not fault:
        return _json(body_of(text, "stop", question))
    if fault in FREE:
        wish = {"Retry-After": f"{behaviour.retry_after_s:g}"}
        error = {"error": {"type": "overloaded", "message": f"no: {fault}"}}
        status = int(fault.partition("-")[0])
        return _json(error, status, wish if fault == "429-later" else None)
    if fault == "refusal":
        return _json(body_of("I can not help with that.", "refusal", question))
    if fault == "wrong-label":
        return _json(body_of("Output (c)", "stop", question))
    if fault == "html":
        page = "<html><body>We are down for maintenance</body></html>"
        return web.Response(text=page, content_type="text/html")
    if fault in ("truncated", "not-utf8"):
        whole = json.dumps(body_of(text, "stop", question)).encode()
        broken = whole[: len(whole) // 2]
        if fault == "not-utf8":
            broken = whole.replace(text.encode(), b"Output \xff\xfe(a)\xc3")
        return web.Response(body=broken, content_type="application/json")
    if fault == "huge":
        return _json(body_of("x" * HUGE_BYTES, "stop", question))
    if fault == "drop":
        assert request.transport is not None
        request.transport.close()
        return web.Response()
    return await _drip(request)


async def _drip(request: web.BaseRequest) -> web.StreamResponse:
    """A body that never ends; the client must."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b" ")
            await asyncio.sleep(DRIP_S)
    return response


def _json(
    body: Any, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=json.dumps(body).encode(),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def openai_body(text: str, finish: str, question: str) -> dict[str, Any]:
    """OpenAI's chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if finish == "refusal":
        message |= {"content": None, "refusal": text}
    asked = prompt_tokens(question)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "bench-judge",
        "choices": [
            {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        ],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": ANSWER_TOKENS,
            "total_tokens": asked + ANSWER_TOKENS,
        },
    }


def anthropic_body(text: str, finish: str, question: str) -> dict[str, Any]:
    """Anthropic's message."""
    refused = finish == "refusal"
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "bench-judge",
        "content": [] if refused else [{"type": "text", "text": text}],
        "stop_reason": "refusal" if refused else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": prompt_tokens(question),
            "output_tokens": ANSWER_TOKENS,
        },
    }


async def main(behaviour: Behaviour) -> None:
    """Serves until standard input ends: with the process that started it."""
    runner = web.ServerRunner(web.Server(Server(behaviour).handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(Behaviour(**json.loads(sys.argv[1]))))
