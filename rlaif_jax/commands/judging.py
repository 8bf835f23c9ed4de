"""Opens the model that a config names as critic, evaluator or teacher."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rlaif_jax.config_parts import EndpointConfig, Orders, RecordedConfig
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.budget import Budget
from rlaif_jax.labeling.critic import ChatCritic, Critic
from rlaif_jax.labeling.ledger import Ledger
from rlaif_jax.labeling.recorded import RecordedCritic, RecordedTeacher, read_judgments
from rlaif_jax.labeling.session import open_asker
from rlaif_jax.labeling.stop import Stop
from rlaif_jax.labeling.teacher import ChatTeacher, Teacher

_RECORDED_WORKERS = 16
_WORKERS_PER_CALL = 2  # what waits before it is asked again holds nothing new back


@dataclass(frozen=True)
class Judge:
    """A critic, how many may ask it at a time, what stops it, and its budget."""

    critic: Critic
    workers: int
    stop: Stop
    budget: Budget


@dataclass(frozen=True)
class Writer:
    """A teacher, with what a `Judge` has, and its ledger."""

    teacher: Teacher
    workers: int
    stop: Stop
    budget: Budget
    ledger: Ledger | None = None  # none of a recorded teacher


@asynccontextmanager
async def open_judge(
    config: EndpointConfig | RecordedConfig,
    *,
    orders: Orders,
    out: Path,
    budget_usd: float | None,
) -> AsyncIterator[Judge]:
    """The critic that a config names; its ledger is in the run folder."""
    if isinstance(config, RecordedConfig):
        recorded = RecordedCritic.from_file(config.file)
        yield Judge(recorded, _RECORDED_WORKERS, Stop(), Budget(limit_usd=None))
        return
    async with _open_asker(config, out, budget_usd) as asker:
        critic = ChatCritic(asker=asker, orders=orders)
        yield Judge(critic, _workers(config), asker.stop, asker.budget)


@asynccontextmanager
async def open_writer(
    config: EndpointConfig | RecordedConfig,
    *,
    generator: str | None,
    seed: int,
    out: Path,
    budget_usd: float | None,
) -> AsyncIterator[Writer]:
    """The teacher that a config names; its ledger is in the run folder."""
    if isinstance(config, RecordedConfig):
        teacher = RecordedTeacher(
            read_judgments(config.file),
            output=config.output,
            source=str(config.file),
            generator=generator,
        )
        yield Writer(teacher, _RECORDED_WORKERS, Stop(), Budget(limit_usd=None))
        return
    async with _open_asker(config, out, budget_usd) as asker:
        chat = ChatTeacher(asker=asker, generator=generator, seed=seed)
        workers = _workers(config)
        yield Writer(chat, workers, asker.stop, asker.budget, asker.ledger)


def _workers(config: EndpointConfig) -> int:
    """Items under way at a time: more than calls."""
    return _WORKERS_PER_CALL * config.max_in_flight


def _open_asker(
    config: EndpointConfig, out: Path, budget_usd: float | None
) -> AbstractAsyncContextManager[Asker]:
    """An asker with its ledger in the run folder, and the key that the config names."""
    key = os.environ.get(config.api_key_env) if config.api_key_env else None
    ledger = out / "ledger.jsonl"
    return open_asker(config, api_key=key, ledger=ledger, budget_usd=budget_usd)
