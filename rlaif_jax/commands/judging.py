"""Opens the model that a config names as critic, evaluator or teacher."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rlaif_jax.config_parts import EndpointConfig, Orders, RecordedConfig
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.critic import ChatCritic, Critic
from rlaif_jax.labeling.ledger import Ledger
from rlaif_jax.labeling.recorded import RecordedCritic, RecordedTeacher, read_judgments
from rlaif_jax.labeling.session import open_asker
from rlaif_jax.labeling.stop import Stop
from rlaif_jax.labeling.teacher import ChatTeacher, Teacher

_RECORDED_WORKERS = 16


@dataclass(frozen=True)
class Judge:
    """A critic, how many may ask it at a time, and what stops it."""

    critic: Critic
    workers: int
    stop: Stop


@dataclass(frozen=True)
class Writer:
    """A teacher, how many may ask it at a time, what stops it, and its ledger."""

    teacher: Teacher
    workers: int
    stop: Stop
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
        yield Judge(RecordedCritic.from_file(config.file), _RECORDED_WORKERS, Stop())
        return
    async with _open_asker(config, out, budget_usd) as asker:
        critic = ChatCritic(asker=asker, orders=orders)
        yield Judge(critic, config.max_in_flight, asker.stop)


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
        yield Writer(teacher, _RECORDED_WORKERS, Stop())
        return
    async with _open_asker(config, out, budget_usd) as asker:
        chat = ChatTeacher(asker=asker, generator=generator, seed=seed)
        yield Writer(chat, config.max_in_flight, asker.stop, asker.ledger)


def _open_asker(
    config: EndpointConfig, out: Path, budget_usd: float | None
) -> AbstractAsyncContextManager[Asker]:
    """An asker with its ledger in the run folder, and the key that the config names."""
    key = os.environ.get(config.api_key_env) if config.api_key_env else None
    ledger = out / "ledger.jsonl"
    return open_asker(config, api_key=key, ledger=ledger, budget_usd=budget_usd)
