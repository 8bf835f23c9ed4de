"""Which questions go into the next batch, and what must be on disk before it does."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rlaif_jax.errors import InternalError, UsageError
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.batch_api import BatchApi
from rlaif_jax.labeling.batch_results import Books
from rlaif_jax.labeling.batches import Entry, Journal
from rlaif_jax.labeling.question import Question

_BREATHE_EVERY = 256  # questions; signals and other batches get their turn


@dataclass(kw_only=True)
class Planner:
    """Fills batches with the questions that are open and not under way.

    Attributes:
      api: The provider's.
      asker: Whose questions they are.
      books: Where their price is reserved and their intents are kept.
      journal: Where a batch begins.
      folder: Of the files of requests.
      questions: All that may be asked, from the first one.
      addressee: Names whom the journal's batches are for.
      max_requests: Of one batch.
      max_bytes: Of one batch.
      is_short: Whether the budget has held a question back.
    """

    api: BatchApi
    asker: Asker
    books: Books
    journal: Journal
    folder: Path
    questions: Callable[[], Iterable[Question]]
    addressee: str
    max_requests: int
    max_bytes: int
    is_short: bool = False
    _coming: Iterator[Question] = field(default_factory=lambda: iter(()), init=False)
    _held: Question | None = field(default=None, init=False)
    _num_seen: int = field(default=0, init=False)

    def restart(self) -> None:
        """Begins with the first question again."""
        self._coming = iter(self.questions())
        self._held = None

    def spool(self, entry: Entry) -> Path:
        """The file of a batch's requests."""
        return self.folder / f"{entry.name}.jsonl"

    async def next_batch(self) -> Entry | None:
        """Plans a batch, with all intents and requests on disk; None without questions.

        Raises:
          UsageError: If a question alone is more than a batch may hold.
        """
        try:
            plan = await self._filled()
        except OSError as error:
            raise InternalError(
                f"cannot write below {self.folder}: {error.strerror}: free some space"
                " and run the same command again"
            ) from error
        if plan is None:
            return None
        plan.entry.size = plan.size
        await self.books.ledger.sync()
        return plan.entry

    async def _filled(self) -> "_Plan | None":
        """A batch with as many questions as fit."""
        plan: _Plan | None = None
        with ExitStack() as stack:
            while (found := await self._next_open()) is not None:
                question, key = found
                line = self._line(question, key)
                if plan is not None and not self._has_room(plan, line):
                    self._held = question
                    break
                at_most_usd = self._at_most_usd(question)
                if not self.books.budget.try_reserve(at_most_usd):
                    self._held, self.is_short = question, True
                    break
                if plan is None:
                    plan = stack.enter_context(self._begun())
                self.books.ledger.intend(
                    key, question.item, at_most_usd, batch=plan.entry.name
                )
                plan.add(line)
        return plan

    async def _next_open(self) -> tuple[Question, str] | None:
        """The next question that is to be asked, with its key."""
        held, self._held = self._held, None
        if held is not None:
            return held, self.asker.addressee.key(held)
        for question in self._coming:
            self._num_seen += 1
            if self._num_seen % _BREATHE_EVERY == 0:
                await asyncio.sleep(0)
            key = self.asker.addressee.key(question)
            if not self.books.ledger.is_spoken_for(key):
                return question, key
        return None

    def _begun(self) -> "_Plan":
        """A new batch, in the journal and with an empty file."""
        entry = self.journal.plan(self.addressee)
        self.folder.mkdir(parents=True, exist_ok=True)
        return _Plan(entry, self.spool(entry).open("wb"))

    def _line(self, question: Question, key: str) -> bytes:
        """The request of a question."""
        body = self.asker.chat.request(
            question.messages,
            max_tokens=self.asker.max_tokens,
            temperature=self.asker.temperature,
            seed=question.seed,
        )
        line = self.api.line(key, body)
        if len(line) > self.max_bytes:
            raise UsageError(
                f"the question about {question.item} takes {len(line):,} bytes, more"
                f" than a batch of {self.max_bytes:,} holds: raise batch.max_bytes, or"
                " leave it out"
            )
        return line

    def _has_room(self, plan: "_Plan", line: bytes) -> bool:
        """Whether a batch may take one more request."""
        return (
            plan.size < self.max_requests
            and plan.num_bytes + len(line) <= self.max_bytes
        )

    def _at_most_usd(self, question: Question) -> float:
        """What a question can be billed at most."""
        return self.books.prices.at_most_usd(question.messages, self.asker.max_tokens)


@dataclass(slots=True)
class _Plan:
    """A batch that is being filled."""

    entry: Entry
    file: BinaryIO
    size: int = 0
    num_bytes: int = 0

    def __enter__(self) -> "_Plan":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def add(self, line: bytes) -> None:
        """Takes a request."""
        self.file.write(line)
        self.size += 1
        self.num_bytes += len(line)
