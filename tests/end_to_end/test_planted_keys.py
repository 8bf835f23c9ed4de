"""A key that a server repeats in its errors is shown to nobody and written nowhere."""

import asyncio
import itertools
import json
import threading
from pathlib import Path

import pytest
from aiohttp import web

from rlaif_jax import cli
from rlaif_jax.files import write_records
from rlaif_jax.records import Message, Prompt

KEYS = {"openai": 'planted/key+9f8e7d=="x', "anthropic": "sk-ant-planted-0123456789"}
VARIABLES = {"openai": "RLAIF_KEY_ONE", "anthropic": "RLAIF_KEY_TWO"}
NUMBER = 12
LOUD = {"OPENAI_LOG": "debug", "ANTHROPIC_LOG": "debug"}


class Parrot:
    """Answers, but for every second request; its errors repeat what they can.

    Attributes:
      url: Of Anthropic's format; OpenAI's is below `/v1`.
      num_requests: That arrived.
      refuses: Whether every request meets a 401.
    """

    def __init__(self):
        self.url = ""
        self.num_requests = 0
        self.refuses = False
        self._faults = itertools.cycle([self._error, self._page, self._cut])

    async def serve(self, started, ended):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_post("/v1/messages", self._anthropic)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        while not ended.is_set():
            await asyncio.sleep(0.05)
        await runner.cleanup()

    async def _openai(self, request):
        message = {"role": "assistant", "content": "Output (a)"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 4}
        return await self._answer(request, {"choices": [choice], "usage": usage})

    async def _anthropic(self, request):
        content = [{"type": "text", "text": "Output (a)"}]
        usage = {"input_tokens": 9, "output_tokens": 4}
        body = {"content": content, "stop_reason": "end_turn", "usage": usage}
        return await self._answer(request, body)

    async def _answer(self, request, body):
        await request.read()
        self.num_requests += 1
        told = request.headers.get("Authorization") or request.headers["X-Api-Key"]
        if self.refuses:
            return _error_of(401, told)
        if self.num_requests % 2:
            return next(self._faults)(told)
        await asyncio.sleep(0.05)
        return web.json_response(body)

    def _error(self, told):
        return _error_of(500, told)

    def _page(self, told):
        key = told.removeprefix("Bearer ")
        return web.Response(
            text=f"<p>{key} <a title='{told}'>", content_type="text/html"
        )

    def _cut(self, told):
        text = json.dumps({"error": {"headers": {"authorization": told}}})[:-1]
        return web.Response(text=text, content_type="application/json")


def _error_of(status, told):
    error = {"type": "odd", "code": told, "message": f"bad key {told}, {told}"}
    return web.json_response({"error": error}, status=status)


@pytest.fixture
def parrot():
    parrot, started, ended = Parrot(), threading.Event(), threading.Event()
    run = parrot.serve(started, ended)
    thread = threading.Thread(target=asyncio.run, args=(run,), daemon=True)
    thread.start()
    assert started.wait(timeout=30)
    yield parrot
    ended.set()
    thread.join(timeout=10)


@pytest.fixture
def command(rlaif, parrot, tmp_path, wait_until):
    """Runs a verb with both keys in its environment; its exit code and words."""

    def run(verb, document, out):
        config = rlaif.config(document)
        seen = parrot.num_requests
        process = rlaif.start_raw(
            [verb, config, "--out", tmp_path / out, "--debug"],
            **LOUD,
            **{VARIABLES[api]: key for api, key in KEYS.items()},
        )
        wait_until(lambda: parrot.num_requests > seen, process)
        for told in Path("/proc").glob(f"{process.pid}/cmdline"):
            assert_no_key(told.read_bytes(), "the list of processes")
        code = process.wait(timeout=120)
        words = process.log.read_bytes()
        assert_no_key(words, f"what {verb} said")
        return code, words.decode()

    return run


def assert_no_key(content, where):
    for api, key in KEYS.items():
        for spelled in (key, json.dumps(key)[1:-1]):
            assert spelled.encode() not in content, f"the key of {api} is in {where}"


def endpoint(parrot, api):
    return {
        "api": api,
        "base_url": f"{parrot.url}/v1" if api == "openai" else parrot.url,
        "model": "parrot",
        "api_key_env": VARIABLES[api],
        "max_tokens": 9,
        "max_attempts": 9,
        "usd_per_million_input_tokens": 1,
        "usd_per_million_output_tokens": 1,
    }


def test_a_key_that_errors_repeat_is_in_no_file_line_or_list(command, parrot, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    turns = [(Message(role="user", content=f"What is {n}?"),) for n in range(NUMBER)]
    write_records(prompts, [Prompt.create(one, source="test") for one in turns])
    written = {}
    for api in KEYS:
        document = {
            "prompts": str(prompts),
            "teacher": endpoint(parrot, api),
            "generator": api,
        }
        assert command("complete", document, f"by_{api}")[0] == 0
        written[api] = tmp_path / f"by_{api}" / "completions.jsonl"
    # equal texts are a tie without a call
    texts = written["openai"].read_text().replace("Output (a)", "Another text")
    written["openai"].write_text(texts)
    compared = {"prompts": str(prompts), "first": str(written["openai"])}
    compared["second"] = str(written["anthropic"])
    document = compared | {"critic": endpoint(parrot, "anthropic")}
    assert command("label", document, "labels")[0] == 0
    document = {
        "prompts": str(prompts),
        "candidate": str(written["openai"]),
        "baseline": str(written["anthropic"]),
        "evaluator": endpoint(parrot, "openai"),
    }
    code, words = command("evaluate", document, "evaluation")
    assert code == 0 and "attempt 1 failed" in words and "[redacted]" in words
    assert "HTTP Request" not in words  # the SDKs say nothing, whatever they are told
    parrot.refuses = True
    for api in KEYS:
        document = compared | {"critic": endpoint(parrot, api)}
        code, words = command("label", document, f"refused_{api}")
        assert code == 2 and "401" in words and VARIABLES[api] not in words
    labels, out = f"labels={tmp_path / 'labels'}", str(tmp_path / "audit")
    assert cli.run(["audit", labels, "--out", out]) == 0  # here, where no key is known
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"ledger.jsonl", "audit.html", "config.json"} <= {one.name for one in files}
    for path in files:
        assert_no_key(path.read_bytes(), path)
