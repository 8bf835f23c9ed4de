"""The lab's teachers and critics behind HTTP, as OpenAI and Anthropic serve theirs."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from functools import partial

from aiohttp import web

from rlaif_jax.config_parts import FaultsConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.lab.comparisons import judge, judge_odds
from rlaif_jax.lab.critics import Critic
from rlaif_jax.lab.decisions import decide_body
from rlaif_jax.lab.faults import Fault, fault_at
from rlaif_jax.lab.grading import grade
from rlaif_jax.lab.probabilities import spell
from rlaif_jax.lab.responses import RESPONSES
from rlaif_jax.lab.scorer import score_body
from rlaif_jax.lab.variants import Variant, critics, teachers, variant_named
from rlaif_jax.lab.wire import (
    ANTHROPIC,
    OPENAI,
    ChatRequest,
    Dialect,
    Reply,
    WireError,
    encode_models,
    make_reply,
    read_request,
    request_id,
)

_MAX_BODY_BYTES = 16 << 20
_JSON = "application/json"
_WEB_PAGE = b"<html><body>The lab is under maintenance.</body></html>"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Cast:
    """Who is behind each served model name."""

    def __init__(self, variant: Variant) -> None:
        self._teachers = teachers(variant)
        self._critics = critics(variant)

    @property
    def names(self) -> tuple[str, ...]:
        """Every served name."""
        return (*self._teachers, *self._critics)

    def reply(self, request: ChatRequest) -> Reply:
        """What the named model says.

        Raises:
          WireError: If there is no such model, or a critic is asked something else and
            may say what it likes.
        """
        if teacher := self._teachers.get(request.model):
            text = teacher.complete(request.text, seed=request.seed)
            return make_reply(request, _as_allowed(request, text))
        critic = self._critic(request.model)
        verdict = judge(critic, request.text) or grade(critic, request.text)
        if verdict is None and request.allowed is None:
            raise _no_comparison(request.model)
        text = _as_allowed(request, verdict or "")
        odds = judge_odds(critic, request.text) if request.wants_tokens else None
        tokens = () if odds is None else spell(text, odds)
        return make_reply(request, text, tokens)

    def p_first(self, model: str, text: str) -> float:
        """How probable it is that the named critic prefers the output shown first.

        Raises:
          WireError: If there is no such critic, or it is asked something else.
        """
        odds = judge_odds(self._critic(model), text)
        if odds is None:
            raise _no_comparison(model)
        return odds

    def _critic(self, model: str) -> Critic:
        if model in self._teachers:
            raise WireError(
                400, "invalid_request", f"{model} writes and does not judge"
            )
        if model not in self._critics:
            message = f"no model {model!r}: choose from {', '.join(self.names)}"
            raise WireError(404, "model_not_found", message)
        return self._critics[model]


def build_app(
    variant: Variant, *, latency_s: float = 0.0, faults: FaultsConfig | None = None
) -> web.Application:
    """The web application: both vendors' APIs and model lists, and `POST /score`.

    Args:
      variant: The numbers of the world.
      latency_s: Added to every question to a model.
      faults: What goes wrong, and how often; nothing otherwise.
    """
    cast, faults = Cast(variant), faults or FaultsConfig()
    models = encode_models(cast.names)
    number_of_requests = 0

    def handler(dialect: Dialect, answer: Callable[[bytes], bytes]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            nonlocal number_of_requests
            fault = fault_at(faults, number_of_requests)
            number_of_requests += 1
            body = await request.read()
            if latency_s:
                await asyncio.sleep(latency_s)
            response = _respond(answer, dialect, body)
            return _with_fault(response, request, dialect, fault, faults.retry_after_s)

        return handle

    async def list_models(_: web.Request) -> web.Response:
        return web.Response(body=models, content_type=_JSON)

    async def score(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            scores = score_body(body, style_weight=variant.style_weight)
        except WireError as error:
            return _failure(error, OPENAI)
        return web.Response(body=scores, content_type=_JSON)

    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    for dialect in (OPENAI, RESPONSES, ANTHROPIC):
        chat = handler(dialect, partial(_chat, cast, dialect))
        app.router.add_post(dialect.path, chat)
    decide = handler(OPENAI, lambda body: decide_body(body, cast.p_first))
    app.router.add_post("/v1/decisions", decide)
    app.router.add_get("/v1/models", list_models)
    app.router.add_post("/score", score)
    return app


async def serve(
    variant: str = "default",
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    latency_s: float = 0.0,
    faults: FaultsConfig | None = None,
    report: Callable[[str], None],
) -> None:
    """Serves until cancelled.

    Args:
      variant: A name of `variants.VARIANTS`.
      host: The address to listen on.
      port: 0 takes any free one.
      latency_s: Added to every chat request.
      faults: What goes wrong, and how often.
      report: Called once with `http://HOST:PORT`, when requests are taken. OpenAI's
        client wants it followed by `/v1`, Anthropic's as it is.

    Raises:
      UsageError: If the variant is unknown or the address cannot be listened on.
    """
    app = build_app(variant_named(variant), latency_s=latency_s, faults=faults)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host}:{port} ({error.strerror}): choose another"
            ) from error
        report(f"http://{host}:{runner.addresses[0][1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def run_in_thread(
    variant: str = "default",
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    latency_s: float = 0.0,
    faults: FaultsConfig | None = None,
) -> Iterator[str]:
    """Serves from a thread of its own inside a `with`, which gives the URL.

    Raises:
      UsageError: As `serve`.
    """
    url: Future[str] = Future()
    loop = asyncio.new_event_loop()
    serving = loop.create_task(
        serve(
            variant,
            host=host,
            port=port,
            latency_s=latency_s,
            faults=faults,
            report=url.set_result,
        )
    )

    def run() -> None:
        loop.run_until_complete(asyncio.wait([serving]))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        if not url.done():
            url.set_exception(serving.exception())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield url.result()
    finally:
        if not loop.is_closed():  # it is, if serving failed
            loop.call_soon_threadsafe(serving.cancel)
        thread.join()


def _as_allowed(request: ChatRequest, text: str) -> str:
    """The text, or what is left of it where only some replies are allowed."""
    return text if request.allowed is None else request.allowed.reply(text)


def _no_comparison(model: str) -> WireError:
    message = f"{model} found no instruction, Output (a) and Output (b)"
    return WireError(400, "invalid_request", message)


def _chat(cast: Cast, dialect: Dialect, body: bytes) -> bytes:
    """The body of a reply."""
    return dialect.encode_reply(cast.reply(read_request(body, dialect)))


def _respond(
    answer: Callable[[bytes], bytes], dialect: Dialect, body: bytes
) -> web.Response:
    headers = {dialect.request_id_header: request_id(body)}
    try:
        content = answer(body)
    except WireError as error:
        content = dialect.encode_error(error)
        return web.Response(
            body=content, status=error.status, content_type=_JSON, headers=headers
        )
    return web.Response(body=content, content_type=_JSON, headers=headers)


def _with_fault(
    response: web.Response,
    request: web.Request,
    dialect: Dialect,
    fault: Fault | None,
    retry_after_s: int,
) -> web.Response:
    """The response, or what the fault leaves of it."""
    match fault:
        case "rate_limited":
            error = WireError(429, "rate_limit_exceeded", "the lab's rate limit")
            response = _failure(error, dialect)
            response.headers["Retry-After"] = str(retry_after_s)
        case "server_error":
            response = _failure(WireError(500, "fault", "the lab's fault"), dialect)
        case "html":
            response = web.Response(body=_WEB_PAGE, content_type="text/html")
        case "truncated":
            content = response.body
            assert isinstance(content, bytes)
            response = web.Response(
                body=content[: len(content) // 2], content_type=_JSON
            )
        case "dropped" if request.transport is not None:
            request.transport.abort()
    return response


def _failure(error: WireError, dialect: Dialect) -> web.Response:
    content = dialect.encode_error(error)
    return web.Response(body=content, status=error.status, content_type=_JSON)
