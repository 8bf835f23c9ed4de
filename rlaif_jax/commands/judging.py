"""Opens the model that a config names as critic, evaluator or teacher."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass
from pathlib import Path

from rlaif_jax.annotations import read_judgments
from rlaif_jax.config_endpoints import (
    CriticConfig,
    EndpointConfig,
    JuryConfig,
    Orders,
    RecordedConfig,
    asked_critics,
)
from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.alpaca_eval import TokenGrammar
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.budget import Budget
from rlaif_jax.labeling.catalog import BUILT_IN, template_named
from rlaif_jax.labeling.constraints import constrained, whole_choices
from rlaif_jax.labeling.critic import ChatCritic, Critic
from rlaif_jax.labeling.jury import Jury
from rlaif_jax.labeling.ledger import CallLog
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.labeling.probing import Probe
from rlaif_jax.labeling.prompts import Template
from rlaif_jax.labeling.recorded import RecordedCritic, RecordedTeacher
from rlaif_jax.labeling.session import (
    Endpoint,
    lend_askers,
    open_asker,
    open_askers,
)
from rlaif_jax.labeling.stop import Stop
from rlaif_jax.labeling.teacher import ChatTeacher, Teacher
from rlaif_jax.records import Comparison, content_hash

_RECORDED_WORKERS = 16
_WORKERS_PER_CALL = 2  # what waits before it is asked again holds nothing new back
LEDGER = "ledger.jsonl"  # in the run folder


@dataclass(frozen=True)
class Judge:
    """A critic, how many may ask it at a time, what stops it, and its budget.

    Attributes:
      critic: One model, one file, or a jury.
      workers: Comparisons under way at a time.
      stop: Ends the run.
      budget: What the ledger's runs may spend; without limit if nobody is asked.
      askers: Of all models that are asked.
      probes: One for each critic that a server is to constrain.
    """

    critic: Critic
    workers: int
    stop: Stop
    budget: Budget
    askers: tuple[Asker, ...] = ()
    probes: tuple[Probe, ...] = ()

    async def probed(self) -> list[Outcome]:
        """What came of each probe; to be called before anything is judged.

        Raises:
          CommandError: As `Probe.outcomes`: a constraint that does not hold.
        """
        return [one for probe in self.probes for one in await probe.outcomes()]


@dataclass(frozen=True)
class Writer:
    """A teacher, with what a `Judge` has, and its ledger."""

    teacher: Teacher
    workers: int
    stop: Stop
    budget: Budget
    askers: tuple[Asker, ...] = ()
    ledger: CallLog | None = None  # none of a recorded teacher


@asynccontextmanager
async def open_judge(
    config: CriticConfig | RecordedConfig | JuryConfig,
    *,
    orders: Orders,
    out: Path,
    budget_usd: float | None,
) -> AsyncIterator[Judge]:
    """The critic that a config names; its ledger is in the run folder.

    Raises:
      UsageError: If there is no such template, or it does not suit the verdicts.
      CommandError: As `session.open_askers`.
    """
    bench = _Bench(config, orders)
    async with AsyncExitStack() as stack:
        askers: list[Asker] = []
        if bench.asked:
            session = open_askers(
                bench.endpoints(), ledger=out / LEDGER, budget_usd=budget_usd
            )
            askers = await stack.enter_async_context(session)
        yield bench.judge(askers)


@asynccontextmanager
async def lend_judge(
    config: CriticConfig | JuryConfig,
    *,
    orders: Orders,
    ledger: CallLog,
    budget: Budget,
    budget_usd: float | None,
) -> AsyncIterator[Judge]:
    """The critic that a config names, with a ledger and a budget of someone else's.

    Raises:
      CommandError: As `open_judge`.
    """
    bench = _Bench(config, orders)
    async with lend_askers(
        bench.endpoints(), ledger=ledger, budget=budget, budget_usd=budget_usd
    ) as askers:
        yield bench.judge(askers)


def inputs_hash(
    config: CriticConfig | RecordedConfig | JuryConfig,
    comparisons: Sequence[Comparison],
) -> str:
    """A hash of what is judged, in order, and of what words are read for it.

    Raises:
      UsageError: As `judging_template`.
    """
    compared = content_hash([comparison.pair_id for comparison in comparisons])
    templates = [judging_template(critic) for critic in asked_critics(config)]
    outside = tuple(one.hash for one in templates if one.name not in BUILT_IN)
    return content_hash(compared, outside) if outside else compared


class _Bench:
    """The critics of a config, before there is anyone to ask."""

    def __init__(
        self, config: CriticConfig | RecordedConfig | JuryConfig, orders: Orders
    ):
        self.asked = asked_critics(config)
        self._seats = config.critics if isinstance(config, JuryConfig) else (config,)
        self._orders: Orders = orders
        self._templates = [judging_template(seat) for seat in self.asked]
        self._recorded = {
            seat: RecordedCritic.from_file(seat.file)
            for seat in self._seats
            if isinstance(seat, RecordedConfig)
        }

    def endpoints(self) -> list[Endpoint]:
        """The models that are asked, and their keys."""
        return [
            Endpoint(seat, _key(seat), template.grammar.choices)
            for seat, template in zip(self.asked, self._templates, strict=True)
        ]

    def judge(self, askers: list[Asker]) -> Judge:
        """The judge, with an asker for each of `asked`."""
        critics: dict[CriticConfig | RecordedConfig, Critic] = {**self._recorded}
        for seat, asker, template in zip(
            self.asked, askers, self._templates, strict=True
        ):
            critics[seat] = _critic(seat, asker, template, self._orders)
        return Judge(
            _one([critics[seat] for seat in self._seats]),
            sum(map(workers_for, self.asked)) or _RECORDED_WORKERS,
            askers[0].stop if askers else Stop(),
            askers[0].budget if askers else Budget(limit_usd=None),
            tuple(askers),
            tuple(
                Probe(asker=asker, template=template, constrain=seat.constrain)
                for seat, asker, template in zip(
                    self.asked, askers, self._templates, strict=True
                )
                if seat.constrain != "none"
            ),
        )


def template_hashes(
    config: CriticConfig | RecordedConfig | JuryConfig,
) -> tuple[str, ...]:
    """Of the questions that a config has asked, one for each critic."""
    return tuple(judging_template(critic).hash for critic in asked_critics(config))


def judging_template(config: CriticConfig) -> Template:
    """The template that a critic is asked with.

    Raises:
      UsageError: If there is none of that name, or its replies cannot be read as the
        config wants them.
    """
    template = constrained(template_named(config.template), config.constrain)
    if config.api == "openai_decisions":
        whole_choices(template, f"api={config.api}")
    if config.verdicts == "soft" and not template.grammar.has_forks:
        raise UsageError(
            f"verdicts=soft does not go with template {config.template}: it needs one"
            " whose reply begins with the verdict, such as template=verdict"
        )
    if config.verdicts == "hard" and isinstance(template.grammar, TokenGrammar):
        raise UsageError(
            f"template {config.template} tells its verdict by token probabilities: set"
            " verdicts=soft"
        )
    return template


def _critic(
    config: CriticConfig, asker: Asker, template: Template, orders: Orders
) -> Critic:
    """One critic, or a jury of its votes."""
    return _one(
        [
            ChatCritic(
                asker=asker,
                orders=orders,
                template=template,
                verdicts=config.verdicts,
                vote=vote,
            )
            for vote in range(config.votes)
        ]
    )


def _one(critics: Sequence[Critic]) -> Critic:
    """A critic, or a jury of several."""
    return critics[0] if len(critics) == 1 else Jury(critics=tuple(critics))


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
    async with open_endpoint(config, out=out, budget_usd=budget_usd) as asker:
        chat = ChatTeacher(asker=asker, generator=generator, seed=seed)
        workers = workers_for(config)
        yield Writer(chat, workers, asker.stop, asker.budget, (asker,), asker.ledger)


def open_endpoint(
    config: EndpointConfig, *, out: Path, budget_usd: float | None
) -> AbstractAsyncContextManager[Asker]:
    """An asker of a model, with its key; the ledger is in the run folder."""
    return open_asker(
        config, api_key=_key(config), ledger=out / LEDGER, budget_usd=budget_usd
    )


def workers_for(config: EndpointConfig) -> int:
    """Items under way at a time: more than calls."""
    return _WORKERS_PER_CALL * config.max_in_flight


def _key(config: EndpointConfig) -> str | None:
    """The key in the variable that the config names."""
    return os.environ.get(config.api_key_env) if config.api_key_env else None
