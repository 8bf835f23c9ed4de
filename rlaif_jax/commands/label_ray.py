"""`label engine=ray`: blocks judged on many machines, sealed in order by one."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pydantic

from rlaif_jax import __version__
from rlaif_jax.commands.judging import LEDGER, inputs_hash, template_hashes
from rlaif_jax.commands.label_block import BlockJob, label_block
from rlaif_jax.commands.sealing import Engine, Work
from rlaif_jax.config import LabelConfig
from rlaif_jax.config_batch import RayConfig
from rlaif_jax.config_endpoints import RecordedConfig, asked_critics
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.attempts import read_attempts
from rlaif_jax.labeling.budget import Budget, endpoint_prices
from rlaif_jax.labeling.ledger import encode_record
from rlaif_jax.labeling.objects import Objects, open_objects
from rlaif_jax.labeling.pipeline import Progress, in_order, tallied
from rlaif_jax.labeling.planting import Planted
from rlaif_jax.labeling.ray_cluster import (
    BlockTasks,
    GovernorClient,
    Terms,
    connected,
    start_governor,
)
from rlaif_jax.labeling.stop import Stop
from rlaif_jax.records import Label, content_hash
from rlaif_jax.run_folder import essence
from rlaif_jax.typing import Json

_BOOKS = "ray.json"  # in the run folder
_CLAIM = "claim"  # in the storage
_DRAIN_S = 40.0  # for tasks to end when the run is asked to stop


@asynccontextmanager
async def ray_engine(config: LabelConfig, out: Path) -> AsyncIterator[Engine]:
    """Judges on a Ray cluster, as long as it is open.

    Raises:
      UsageError: If there is no Ray or no cluster, or another run uses the folder.
      RefusedError: If a price is unknown.
    """
    ray_config = config.ray or RayConfig()
    for critic in asked_critics(config.critic):
        endpoint_prices(critic, config.budget_usd)
    storage = ray_config.storage or str(out / "ray")
    if "://" not in storage:
        storage = str(Path(storage).resolve())  # nodes have other working folders
    with connected(ray_config.address) as ray:
        yield _Ray(config, ray, out=out, storage=storage)


class Books:
    """What tasks have asked and paid in sealed blocks, in the run folder's ledger.

    Their logs are appended to the ledger once their block is sealed. `ray.json` tells
    how far that is, so that a kill in between doubles nothing.

    Attributes:
      spent_usd: By all attempts at the blocks so far.
    """

    def __init__(self, out: Path, objects: Objects):
        """Opens the books where they were left.

        Raises:
          CorruptDataError: If the ledger is shorter than it was.
        """
        self._path = out / _BOOKS
        self._ledger = out / LEDGER
        self._objects = objects
        self.spent_usd = 0.0
        self.num_blocks = 0
        self._num_bytes = 0
        if self._path.is_file():
            told = read_json(self._path, "books of a Ray run")
            self.spent_usd = told["spent_usd"]
            self.num_blocks = told["blocks"]
            self._num_bytes = told["ledger_bytes"]
        size = self._ledger.stat().st_size if self._ledger.is_file() else 0
        if size and not self._path.is_file():
            raise UsageError(
                f"{out} was begun with another engine, whose calls are in"
                f" {self._ledger}: go on with that, or use another --out"
            )
        if size < self._num_bytes:
            raise CorruptDataError(
                f"{self._ledger} has {size} bytes, expected {self._num_bytes}: restore"
                " it"
            )

    def begin(self) -> None:
        """Makes the folder that of a run on a cluster."""
        if not self._path.is_file():
            self._write()

    def catch_up(self, num_sealed: int) -> None:
        """Enters every block that is sealed by now."""
        while self.num_blocks < num_sealed:
            self._enter(self.num_blocks)

    def _enter(self, block: int) -> None:
        attempts = read_attempts(self._objects, block)
        lines = [encode_record(one) for each in attempts for one in each.records]
        with self._ledger.open("ab") as file:
            file.truncate(self._num_bytes)
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
        self._num_bytes += sum(map(len, lines))
        self.spent_usd += sum(one.spent_usd for one in attempts)
        self.num_blocks = block + 1
        self._write()

    def _write(self) -> None:
        told = {
            "blocks": self.num_blocks,
            "ledger_bytes": self._num_bytes,
            "spent_usd": self.spent_usd,
        }
        write_json(self._path, told)


def require_no_books(out: Path, engine: str) -> None:
    """Refuses to go on alone where tasks of a cluster have asked and paid.

    Raises:
      UsageError: If the run folder is that of a run with engine=ray.
    """
    if (out / _BOOKS).is_file():
        raise UsageError(
            f"{out} was begun with engine=ray, and what that has paid for is in its"
            f" storage: go on with engine=ray, not engine={engine}"
        )


class _Ray:
    """The driver of one run."""

    def __init__(self, config: LabelConfig, ray: Any, *, out: Path, storage: str):
        self._config = config
        self._ray_config = config.ray or RayConfig()
        self._ray = ray
        self._storage = storage
        self._objects = open_objects(storage)
        self._books = Books(out, self._objects)
        self.budget = Budget(limit_usd=None, spent_usd=self._books.spent_usd)

    async def begin(
        self,
        work: Work,
        canaries: Sequence[Planted],
        accounts: Accounts,
        tell: Callable[[str], None],
    ) -> Json | None:
        """Claims the storage; canaries are refused in the config."""
        del canaries, accounts, tell
        self._claim_storage(work)
        self._books.begin()
        return None

    def labels(
        self, work: Work, *, accounts: Accounts, progress: Progress
    ) -> AsyncGenerator[Label, None]:
        """The labels of all that is not sealed, in order."""
        return tallied(self._labels(work), accounts=accounts, progress=progress)

    async def _labels(self, work: Work) -> AsyncGenerator[Label, None]:
        """The labels, a block after the other, as tasks commit them."""
        self._books.catch_up(work.num_sealed())
        governor = start_governor(self._ray, self._terms(work))
        tasks = BlockTasks(self._ray, label_block, self._ray_config.cpus_per_task)
        job = self._job()

        async def judged(block: int) -> tuple[int, str]:
            return block, await tasks.run(job, block, [*work.block(block)], governor)

        stop = Stop()
        telling = asyncio.create_task(_tell(stop, governor))
        blocks = in_order(
            range(work.num_sealed(), len(work.ends)),
            judged,
            workers=self._ray_config.blocks_in_flight,
            stop=stop,
            drain_s=_DRAIN_S,
        )
        try:
            async with contextlib.aclosing(blocks):
                async for block, name in blocks:
                    self.budget.spent_usd = await governor.settled_usd()
                    for label in await self._read(work, block, name):
                        yield label
                    self._books.catch_up(work.num_sealed())
        finally:
            telling.cancel()

    def _claim_storage(self, work: Work) -> None:
        """Makes the storage that of this run: blocks of another would be read as its.

        Raises:
          UsageError: If it is another run's.
        """
        facts = essence(self._config.model_dump(mode="json"))
        inputs = inputs_hash(self._config.critic, work.comparisons)
        wanted = content_hash(facts, inputs).encode()
        if self._objects.put_if_absent(_CLAIM, wanted):
            return
        if self._objects.read(_CLAIM) != wanted:
            raise UsageError(
                f"{self._storage} holds the blocks of another run: choose another"
                " ray.storage"
            )

    async def _read(self, work: Work, block: int, name: str) -> list[Label]:
        """The labels of a block, which must be those of its comparisons."""
        content = await asyncio.to_thread(self._objects.read, name)
        labels = _parsed(content or b"", f"{self._storage}/{name}")
        wanted = [one.pair_id for one in work.block(block)]
        if [label.pair_id for label in labels] != wanted:
            raise CorruptDataError(
                f"{self._storage}/{name} does not hold the labels of its comparisons:"
                " delete it to judge them again"
            )
        return labels

    def _job(self) -> BlockJob:
        """What every task needs."""
        critic = self._config.critic
        assert not isinstance(critic, RecordedConfig)  # nothing to spread
        return BlockJob(
            critic=critic,
            orders=self._config.orders,
            storage=self._storage,
            budget_usd=self._config.budget_usd,
            template_hashes=template_hashes(critic),
            version=__version__,
        )

    def _terms(self, work: Work) -> Terms:
        """What all tasks share."""
        asked = asked_critics(self._config.critic)
        return Terms(
            budget_usd=self._config.budget_usd,
            spent_usd=self._books.spent_usd,
            first_block=work.num_sealed(),
            max_in_flight=tuple(critic.max_in_flight for critic in asked),
            storage=self._storage,
        )


async def _tell(stop: Stop, governor: GovernorClient) -> None:
    """Lets the tasks end when the run is stopping."""
    await stop.wait()
    await governor.stop(str(stop.error))


def _parsed(content: bytes, name: str) -> list[Label]:
    """The labels in an object."""
    try:
        return [Label.model_validate_json(line) for line in content.splitlines()]
    except pydantic.ValidationError as error:
        raise CorruptDataError(f"{name} does not hold labels: restore it") from error
