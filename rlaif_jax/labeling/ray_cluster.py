"""Blocks of work as tasks of a Ray cluster, and one actor that divides the limits.

Ray is imported where it is used: only a run that asks for it needs it.
"""

import asyncio
import contextlib
import importlib
import os
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rlaif_jax import errors, log
from rlaif_jax.errors import CommandError, InternalError, PreemptedError, UsageError
from rlaif_jax.labeling.attempts import blocks_begun, read_attempts
from rlaif_jax.labeling.governor import Governor, Orders, Report
from rlaif_jax.labeling.objects import open_objects

_MAX_RETRIES = 16  # of a block whose node is lost
_ALONE = {
    # Ray reads it on every system; else it listens on all of a machine's addresses
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
_SILENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # says nothing about GPUs either way
}


class Ended(NamedTuple):
    """What came of a block's task.

    Attributes:
      labels: The name of the block's labels; empty if there are none.
      error: The class of the error that ended it, a name of `errors`; empty if none.
      message: The error's.
    """

    labels: str
    error: str = ""
    message: str = ""

    def name(self) -> str:
        """The name of the labels.

        Raises:
          CommandError: What ended the task.
        """
        if self.error:
            raise getattr(errors, self.error)(self.message)
        return self.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the tasks of a run share.

    Attributes:
      budget_usd: What they may spend together; None: no limit.
      spent_usd: Of that, by blocks whose logs are not read any more.
      first_block: The first one whose log is read.
      max_in_flight: Calls at a time, of each endpoint.
      storage: Where the logs are.
    """

    budget_usd: float | None
    spent_usd: float
    first_block: int
    max_in_flight: tuple[int, ...]
    storage: str


def require_ray() -> Any:
    """The `ray` package.

    Raises:
      UsageError: If it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UsageError(
            "engine=ray needs a package that is not installed: pip install"
            " 'rlaif_jax[ray]'"
        ) from error


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The `ray` package, connected to a cluster until it is closed.

    A cluster that is started here listens on loopback only, has no dashboard and tells
    nobody that it is used. A connection that exists is used, and stays open.

    Args:
      address: The cluster's; None: one is started on this machine.

    Raises:
      UsageError: If there is no Ray, or no cluster at the address.
    """
    with _environment(_SILENT if address else _SILENT | _ALONE):
        ray = require_ray()
        if ray.is_initialized():
            yield ray
            return
        own = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        try:
            ray.init(
                address=address or "local",
                log_to_driver=False,  # what a node prints stays there
                configure_logging=False,
                **({} if address else own),
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"cannot use a Ray cluster at {address or 'this machine'}:"
                f" {log.redact(str(error))}"
            ) from error
        try:
            yield ray
        finally:
            ray.shutdown()


class GovernorClient:
    """The way to the governor's actor, from any process of the cluster."""

    def __init__(self, actor: Any):
        self._actor = actor

    async def sync(self, report: Report) -> Orders:
        """What a task may do from now on."""
        return await self._answer(self._actor.sync.remote(report))

    async def close(self, attempt: str, spent_usd: float) -> None:
        """Counts an attempt out that is over."""
        await self._answer(self._actor.close.remote(attempt, spent_usd))

    async def stop(self, why: str) -> None:
        """Lets no task begin anything more."""
        await self._answer(self._actor.stop.remote(why))

    async def settled_usd(self) -> float:
        """What was spent, as far as it is known."""
        return await self._answer(self._actor.settled_usd.remote())

    async def _answer(self, ref: Awaitable[Any]) -> Any:
        ray = require_ray()
        try:
            return await ref
        except ray.exceptions.RayActorError as error:
            raise PreemptedError(
                "the actor that divides the budget and the limits is gone: run the"
                f" same command again; it ended with: {_last_words(error)}"
            ) from error


def start_governor(ray: Any, terms: Terms) -> GovernorClient:
    """The actor that divides what the tasks share, on this process's own node.

    Restarted after a crash, it learns from the logs what was spent, and from the tasks
    what they act on.
    """
    here = ray.get_runtime_context().get_node_id()
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    options = {
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": -1,
        "scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(
            node_id=here,
            soft=False,  # a soft one may go elsewhere though there is room
        ),
    }
    return GovernorClient(ray.remote(**options)(_GovernorActor).remote(terms))


class BlockTasks:
    """Sends blocks to wherever the cluster has room."""

    def __init__(self, ray: Any, work: Callable[..., Awaitable[str]], cpus: float):
        """Tasks of one kind.

        Args:
          ray: Connected.
          work: A function of an importable module; see `run`.
          cpus: Of a node, for each task.

        Raises:
          UsageError: If no node has so many.
        """
        most = max(node["Resources"].get("CPU", 0) for node in _alive(ray))
        if most < cpus:
            raise UsageError(
                f"ray.cpus_per_task={cpus:g}, but no node of the cluster has more than"
                f" {most:g}: ask for less"
            )
        self._ray = ray
        self._work = work
        self._task = ray.remote(
            num_cpus=cpus, max_retries=_MAX_RETRIES, scheduling_strategy="SPREAD"
        )(_run_task)

    async def run(self, *arguments: Any) -> str:
        """What `work(*arguments)` returns on some node, begun again if it is lost.

        Raises:
          CommandError: What the work raised.
          PreemptedError: If it was lost too often.
        """
        exceptions = self._ray.exceptions
        try:
            ended: Ended = await self._task.remote(self._work, *arguments)
        except exceptions.RayTaskError as error:
            raise InternalError(
                f"a task failed: {log.redact(repr(error.cause))}: please report this"
            ) from None
        except exceptions.RayError as error:
            raise PreemptedError(
                f"a task was lost {_MAX_RETRIES + 1} times"
                f" ({type(error).__name__}): run the same command again"
            ) from error
        return ended.name()


def _run_task(work: Callable[..., Awaitable[str]], *arguments: Any) -> Ended:
    """Runs in a process of some node."""
    log.configure()  # which blanks keys
    ended: list[Ended] = []
    # signals stay Ray's: a pipeline takes them over on the main thread
    thread = threading.Thread(target=lambda: ended.append(_ended(work, arguments)))
    thread.start()
    thread.join()
    return ended[0]


def _ended(work: Callable[..., Awaitable[str]], arguments: Sequence[Any]) -> Ended:
    """What came of the work; an error that a user can act on is told, not raised."""

    async def done() -> str:
        return await work(*arguments)

    try:
        return Ended(asyncio.run(done()))
    except CommandError as error:
        return Ended("", type(error).__name__, log.redact(str(error)))


class _GovernorActor:
    """A governor in a process of its own."""

    def __init__(self, terms: Terms):
        objects = open_objects(terms.storage)
        spent = {"": terms.spent_usd}
        for block in blocks_begun(objects):
            if block >= terms.first_block:
                for attempt in read_attempts(objects, block):
                    spent[attempt.name] = attempt.spent_usd
        context = require_ray().get_runtime_context()
        self._governor = Governor(
            budget_usd=terms.budget_usd,
            max_in_flight=terms.max_in_flight,
            spent_usd=spent,
            is_late=context.was_current_actor_reconstructed,
        )

    async def sync(self, report: Report) -> Orders:
        return self._governor.sync(report)

    async def close(self, attempt: str, spent_usd: float) -> None:
        self._governor.close(attempt, spent_usd)

    async def stop(self, why: str) -> None:
        self._governor.stop(why)

    async def settled_usd(self) -> float:
        return self._governor.settled_usd


def _last_words(error: Exception) -> str:
    """The last line of an error, which in Ray's is what was raised elsewhere."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return log.redact(lines[-1].strip())


def _alive(ray: Any) -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets variables while it is open."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
