"""From an endpoint's config to something that asks it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.backoff import Backoff
from rlaif_jax.labeling.buckets import Bucket
from rlaif_jax.labeling.budget import Budget, Prices, endpoint_prices
from rlaif_jax.labeling.chat import ChatModel
from rlaif_jax.labeling.circuit import Circuit
from rlaif_jax.labeling.concurrency import Concurrency
from rlaif_jax.labeling.constraints import Choices
from rlaif_jax.labeling.endpoint import require_key
from rlaif_jax.labeling.headers import Kind
from rlaif_jax.labeling.ledger import CallLog, Ledger
from rlaif_jax.labeling.limits import Limits
from rlaif_jax.labeling.stop import Stop
from rlaif_jax.labeling.watchdog import Watchdog

_STALE = 0.5  # of a call's time: then the watchdog names it


class Endpoint(NamedTuple):
    """An endpoint, and what it takes to open it.

    Attributes:
      config: The endpoint's.
      api_key: What the variable named by `api_key_env` holds; None without one.
      choices: The two replies of a critic that chooses or is constrained.
    """

    config: EndpointConfig
    api_key: str | None = None
    choices: Choices | None = None


def open_chat(endpoint: Endpoint) -> ChatModel:
    """A client of the endpoint.

    Raises:
      UsageError: If the address or the key cannot be right.
      RefusedError: If the key would cross a network in the clear, or reach another
        vendor.
    """
    api_key = require_key(endpoint.config, endpoint.api_key)
    return _OPENERS[endpoint.config.api](endpoint, api_key)


# an SDK takes a second to import, and a run needs one of them
def _openai(endpoint: Endpoint, api_key: str) -> ChatModel:
    from rlaif_jax.labeling.openai_chat import OpenAIChat

    return OpenAIChat(endpoint.config, api_key=api_key, choices=endpoint.choices)


def _openai_responses(endpoint: Endpoint, api_key: str) -> ChatModel:
    from rlaif_jax.labeling.openai_responses import OpenAIResponses

    return OpenAIResponses(endpoint.config, api_key=api_key, choices=endpoint.choices)


def _openai_decisions(endpoint: Endpoint, api_key: str) -> ChatModel:
    from rlaif_jax.labeling.openai_decisions import OpenAIDecisions

    assert endpoint.choices is not None  # a template without them is refused before
    return OpenAIDecisions(endpoint.config, api_key=api_key, choices=endpoint.choices)


def _anthropic(endpoint: Endpoint, api_key: str) -> ChatModel:
    from rlaif_jax.labeling.anthropic_chat import AnthropicChat

    return AnthropicChat(endpoint.config, api_key=api_key, choices=endpoint.choices)


_OPENERS = {
    "openai": _openai,
    "openai_responses": _openai_responses,
    "openai_decisions": _openai_decisions,
    "anthropic": _anthropic,
}


@asynccontextmanager
async def open_asker(
    config: EndpointConfig,
    *,
    api_key: str | None,
    ledger: Path,
    budget_usd: float | None,
    choices: Choices | None = None,
) -> AsyncIterator[Asker]:
    """An asker of the endpoint, with everything that must be closed after it.

    Args:
      config: The endpoint.
      api_key: What the variable named by `api_key_env` holds; None without one.
      ledger: The file that keeps every call; one for each run folder.
      budget_usd: What this ledger's runs may spend together; None: no limit.
      choices: As in `Endpoint`.

    Raises:
      UsageError: If the address or the key cannot be right, or the ledger is in use.
      RefusedError: If a price is unknown, or the key would not be safe.
      CorruptDataError: If the ledger is damaged.
    """
    async with open_askers(
        [Endpoint(config, api_key, choices)], ledger=ledger, budget_usd=budget_usd
    ) as askers:
        yield askers[0]


@asynccontextmanager
async def open_askers(
    endpoints: Sequence[Endpoint],
    *,
    ledger: Path,
    budget_usd: float | None,
) -> AsyncIterator[list[Asker]]:
    """Askers of several endpoints, with one ledger, one budget and one stop.

    Limits and watchdogs are each endpoint's own: what one server refuses holds back
    nothing from another.

    Args:
      endpoints: At least one.
      ledger: The file that keeps every call; one for each run folder.
      budget_usd: What this ledger's runs may spend together; None: no limit.

    Raises:
      CommandError: As `open_asker`.
    """
    async with _connected(endpoints, budget_usd) as models:
        with Ledger(ledger) as entries:
            budget = Budget(limit_usd=budget_usd, spent_usd=entries.spent_usd)
            async with (
                _synced(entries),
                _watched(_askers(models, ledger=entries, budget=budget)) as askers,
            ):
                yield askers


@asynccontextmanager
async def lend_askers(
    endpoints: Sequence[Endpoint],
    *,
    ledger: CallLog,
    budget: Budget,
    budget_usd: float | None,
) -> AsyncIterator[list[Asker]]:
    """Askers that write to a ledger and spend of a budget that someone else keeps.

    Args:
      endpoints: As of `open_askers`.
      ledger: Keeps every call.
      budget: What may be spent here.
      budget_usd: What all may spend together; None: no limit.

    Raises:
      CommandError: As `open_asker`.
    """
    async with (
        _connected(endpoints, budget_usd) as models,
        _watched(_askers(models, ledger=ledger, budget=budget)) as askers,
    ):
        yield askers


class _Model(NamedTuple):
    """An endpoint, its client, and its prices."""

    config: EndpointConfig
    chat: ChatModel
    prices: Prices


@asynccontextmanager
async def _connected(
    endpoints: Sequence[Endpoint], budget_usd: float | None
) -> AsyncIterator[list[_Model]]:
    """The clients of endpoints, and what they cost, until the connections close."""
    prices = [endpoint_prices(one.config, budget_usd) for one in endpoints]
    async with AsyncExitStack() as stack:
        models: list[_Model] = []
        for endpoint, price in zip(endpoints, prices, strict=True):
            models.append(_Model(endpoint.config, open_chat(endpoint), price))
            stack.push_async_callback(models[-1].chat.close)
        yield models


def _askers(
    models: Sequence[_Model], *, ledger: CallLog, budget: Budget
) -> list[Asker]:
    """One asker a model; they stop together."""
    stop = Stop()
    return [
        Asker(
            chat=chat,
            ledger=ledger,
            prices=prices,
            budget=budget,
            limits=_limits(config, stop),
            stop=stop,
            backoff=Backoff(max_attempts=config.max_attempts),
            max_tokens=config.answer_tokens,
            temperature=config.temperature,
            timeout_s=config.timeout_s,
            question_timeout_s=config.question_timeout_s,
            watchdog=Watchdog(
                f"{chat.model} at {chat.host}", after_s=_STALE * config.timeout_s
            ),
        )
        for config, chat, prices in models
    ]


@asynccontextmanager
async def _synced(ledger: Ledger) -> AsyncIterator[None]:
    """Brings what is written to the ledger onto the disk until it is closed."""
    syncing = asyncio.create_task(ledger.keep_synced())
    try:
        yield
    finally:
        ledger.end_sync()
        await syncing


@asynccontextmanager
async def _watched(askers: list[Asker]) -> AsyncIterator[list[Asker]]:
    """Watches every asker's calls until it is closed."""
    watching = [asyncio.create_task(asker.watchdog.watch()) for asker in askers]
    try:
        yield askers
    finally:
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)


def _limits(config: EndpointConfig, stop: Stop) -> Limits:
    """The limits that a config sets; what the server sets is learnt."""
    per_minute: dict[Kind, int | None] = {
        "requests": config.requests_per_minute,
        "tokens": config.tokens_per_minute,
    }
    return Limits(
        concurrency=Concurrency(max_in_flight=config.max_in_flight),
        circuit=Circuit(),
        stop=stop,
        buckets={
            kind: Bucket.of_minute(amount)
            for kind, amount in per_minute.items()
            if amount is not None
        },
    )
