"""Opens the model that a config names as critic, evaluator or teacher."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlaif_jax.config import EndpointConfig, RecordedConfig
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
    orders: Literal["both", "hashed"],
    out: Path,
    budget_usd: float | None,
) -> AsyncIterator[Judge]:
    """The critic that a config names; its ledger is in the run folder."""
    if isinstance(config, RecordedConfig):
        yield Judge(RecordedCritic.from_file(config.file), _RECORDED_WORKERS, Stop())
        return
    async with open_asker(
        config,
        api_key=api_key(config),
        ledger=out / "ledger.jsonl",
        budget_usd=budget_usd,
    ) as asker:
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
    async with open_asker(
        config,
        api_key=api_key(config),
        ledger=out / "ledger.jsonl",
        budget_usd=budget_usd,
    ) as asker:
        chat = ChatTeacher(asker=asker, generator=generator, seed=seed)
        yield Writer(chat, config.max_in_flight, asker.stop, asker.ledger)


def api_key(config: EndpointConfig) -> str | None:
    """The key of an endpoint, from the variable that the config names."""
    return os.environ.get(config.api_key_env) if config.api_key_env else None
