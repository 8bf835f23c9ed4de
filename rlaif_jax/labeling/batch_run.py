"""The batches of one model: planned, created, watched, and read into the ledger.

What is asked and answered is in the ledger, and what is at the provider in the journal,
so a run can be killed anywhere: the next one takes the same batches up.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from rlaif_jax import log
from rlaif_jax.config_batch import BatchConfig
from rlaif_jax.errors import CommandError, RefusedError, UsageError
from rlaif_jax.labeling.batch_api import QUOTA, Batch, BatchApi
from rlaif_jax.labeling.batch_patience import Patience
from rlaif_jax.labeling.batch_plan import Planner
from rlaif_jax.labeling.batch_results import Books, Tally
from rlaif_jax.labeling.batch_search import Search
from rlaif_jax.labeling.batches import Entry, Journal
from rlaif_jax.labeling.chat import RejectedError, TransientError
from rlaif_jax.labeling.failures import FAILURES

_NUM_READS = 6  # of results that end early

_log = log.logger(__name__)


@dataclass(slots=True)
class _Flight:
    """A batch that something is left to do for."""

    entry: Entry
    search: Search
    num_reads: int = 0  # of its results
    tally: Tally = field(default_factory=Tally)


@dataclass(kw_only=True)
class BatchRun:
    """Has batches of one model answer what is open.

    Attributes:
      api: The provider's.
      planner: Fills the batches.
      books: Where questions are settled.
      journal: Where batches are kept.
      config: How many, how often.
      patience: Tries again, and waits.
      host: The provider's, for messages.
      say: Tells what happens to batches.
    """

    api: BatchApi
    planner: Planner
    books: Books
    journal: Journal
    config: BatchConfig
    patience: Patience
    host: str
    say: Callable[[str], None]
    _flights: list[_Flight] = field(default_factory=list, init=False)
    _is_over_quota: bool = field(default=False, init=False)
    _must_rescan: bool = field(default=False, init=False)
    _num_open: int = field(default=0, init=False)

    async def run(self) -> None:
        """Asks until all is answered, or every round is used up.

        Raises:
          PreemptedError: If the batches take too long, or the provider is gone.
          CommandError: If no question can be asked, or the budget is reached.
        """
        await self._take_up()
        for _ in range(self.config.max_rounds):
            self._num_open = 0
            await self._ask_all_once()
            if not self._num_open:
                return

    async def _take_up(self) -> None:
        """Goes on with the batches that an earlier run has left."""
        for entry in self.journal.unfinished(self.planner.addressee):
            for asked in self.books.ledger.unsettled(entry.name).values():
                self.books.budget.reopen(asked.at_most_usd)
            if entry.state == "planned":
                await self._release(entry, "the run ended before its batch was created")
            else:
                self.say(f"taking up batch {entry.id or entry.name} ({entry.state})")
                self._flights.append(self._flight(entry))

    async def _ask_all_once(self) -> None:
        """One round: every open question is in one batch, and that has ended."""
        self.planner.restart()
        self._must_rescan = False
        while True:
            entry = await self.planner.next_batch() if self._may_submit() else None
            if entry is not None:
                await self._submit(entry)
            elif self._flights or self._is_over_quota:
                await self.patience.wait(len(self._flights))
                await self._look_after_all()
            elif self.planner.is_short:
                raise RefusedError(
                    "budget reached: of the questions that are left, not one more fits"
                    " beside what batches may cost; now that they are read"
                    f" ${self.books.budget.spent_usd:.6f} is spent: run again to ask"
                    " what fits, or raise budget_usd to the estimate's at_most_usd"
                )
            elif self._must_rescan:
                self._must_rescan = False
                self.planner.restart()
            else:
                return

    def _may_submit(self) -> bool:
        """Whether the provider is to be given another batch now."""
        is_held_back = self._is_over_quota or self.planner.is_short
        return not is_held_back and len(self._flights) < self.config.max_batches

    async def _submit(self, entry: Entry) -> None:
        """Gives a planned batch to the provider."""
        spool = self.planner.spool(entry)
        try:
            file = await self.patience.tried(lambda: self.api.upload(spool))
            self.journal.note(entry, "uploaded", size=entry.size, file=file)
            batch = await self.patience.tried(
                lambda: self.api.create(entry.name, spool, file), is_repeatable=False
            )
        except TransientError as error:  # it may have been created all the same
            _log.warning("cannot tell if batch %s was created: %s", entry.name, error)
            self._flights.append(self._flight(entry))
        except (RejectedError, CommandError) as error:
            await self._release(entry, f"its batch was refused: {error}")
            if isinstance(error, RejectedError):
                raise UsageError(f"{error}: set batch.max_requests lower") from error
            raise
        else:
            flight = self._flight(entry)
            self._flights.append(flight)
            self._created(flight, batch)

    def _created(self, flight: _Flight, batch: Batch) -> None:
        """Notes under which id the provider has a batch."""
        self.journal.note(flight.entry, "created", id=batch.id)
        self.planner.spool(flight.entry).unlink(missing_ok=True)
        self.say(f"batch {batch.id}: {flight.entry.size:,} questions at {self.host}")
        self.patience.begin_again()

    async def _look_after_all(self) -> None:
        """Sees what has become of every batch."""
        for flight in [*self._flights]:
            name = flight.entry.id or flight.entry.name
            try:
                if flight.entry.id:
                    await self._look(flight)
                else:
                    await self._find(flight)
            except TransientError as error:
                _log.warning("batch %s: %s", name, error)
                self.patience.hold_back(error.retry_after_s or 0.0)
            except RejectedError as error:
                raise UsageError(f"batch {name}: {error}") from error
        if not self._flights:
            self._is_over_quota = False  # what fills it may have ended by now

    async def _find(self, flight: _Flight) -> None:
        """Finds a batch whose creation was not confirmed, or gives it up."""
        batch = await flight.search.found()
        if batch is not None:
            self.say(f"found batch {batch.id} again")
            self._created(flight, batch)
        elif flight.search.is_lost:
            await self._release(flight.entry, f"{self.host} has no such batch")

    async def _look(self, flight: _Flight) -> None:
        """Reads the results of a batch, if it has ended."""
        entry = flight.entry
        try:
            batch = await self.api.retrieve(entry.id)
        except UsageError as error:
            raise UsageError(
                f"cannot read batch {entry.id}, which this folder's run has made, with"
                f" the key of now: {error}"
            ) from error
        if not batch.is_ended:
            return
        if entry.state == "created":
            self.journal.note(entry, "ended")
        if batch.code == QUOTA:
            await self._shrink(entry, batch)
            return
        flight.num_reads += 1
        is_last_try = flight.num_reads >= _NUM_READS
        await self.books.ingest(
            self.api, batch, entry.name, flight.tally, is_last_try=is_last_try
        )
        await self.books.ledger.sync()  # before the journal says that it is done
        self.journal.note(entry, "ingested")
        self._flights.remove(flight)
        self._is_over_quota = False
        self.patience.begin_again()
        await self._clean_up(entry, batch)
        self._count(batch, flight.tally)

    async def _shrink(self, entry: Entry, batch: Batch) -> None:
        """Takes back a batch with more tokens than the account may enqueue."""
        await self._release(entry, batch.message)
        self._is_over_quota = True
        if not self._flights:  # else what is in the queue is ours, and will leave it
            self.planner.max_requests = max(1, entry.size // 2)
        self.say(
            f"batch {batch.id} does not fit in the queue of {self.host}: waiting, then"
            f" {self.planner.max_requests:,} questions at most ({batch.message})"
        )

    def _count(self, batch: Batch, tally: Tally) -> None:
        """Tells what a batch has brought, and stops a run that gets nothing else.

        Raises:
          UsageError: If the provider does not take such batches or questions.
          RefusedError: If the account may not spend more.
        """
        self._num_open += tally.left_open
        self.say(f"batch {batch.id} has ended: {tally.told()}")
        if batch.code:
            raise UsageError(
                f"{self.host} refused batch {batch.id} ({batch.code}):"
                f" {batch.message or 'no message'}; check the endpoint's options"
            )
        if tally.error is not None:
            if not tally.answered:
                raise tally.error
            _log.warning("a question of batch %s: %s", batch.id, tally.error)

    async def _clean_up(self, entry: Entry, batch: Batch) -> None:
        """Removes what is kept of a batch that was read."""
        self.planner.spool(entry).unlink(missing_ok=True)
        if self.config.files == "keep":
            return
        try:
            await self.api.delete(batch, entry.file)
        except FAILURES as error:
            _log.warning("cannot delete batch %s: %s", batch.id, error)

    async def _release(self, entry: Entry, why: str) -> None:
        """Opens the questions of a batch that nobody works on."""
        self.books.release(entry.name, why)
        await self.books.ledger.sync()  # before the journal says that it is done
        self.journal.note(entry, "released")
        self.planner.spool(entry).unlink(missing_ok=True)
        self._flights = [one for one in self._flights if one.entry is not entry]
        self._must_rescan = True

    def _flight(self, entry: Entry) -> _Flight:
        """A batch to be looked after."""
        search = Search(entry, api=self.api, journal=self.journal, books=self.books)
        return _Flight(entry, search)
