"""The one path on which labels, completions and evaluations are paid for."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from rlaif_jax import log
from rlaif_jax.errors import PreemptedError, RefusedError, UsageError
from rlaif_jax.labeling.backoff import Backoff
from rlaif_jax.labeling.budget import Budget, Prices
from rlaif_jax.labeling.chat import Answer, ChatModel, RejectedError, TransientError
from rlaif_jax.labeling.ledger import Ledger, question_key
from rlaif_jax.labeling.limits import Limits
from rlaif_jax.labeling.outcome import Outcome, State
from rlaif_jax.labeling.stop import Stop, StoppedError
from rlaif_jax.records import Message, Usage
from rlaif_jax.typing import Json

_log = log.logger(__name__)

_MAX_FAILED_IN_A_ROW = 20  # questions without an answer before the run is stopped


@dataclass(slots=True)
class _Question:
    """What is asked, and what asking has cost so far."""

    messages: Sequence[Message]
    key: str
    item: str
    seed: int | None
    at_most_usd: float  # of one call
    attempts: int = 0
    uncertain_usd: float = 0.0

    def outcome(self, state: State, *, finish_reason: str, error: str) -> Outcome:
        """An end without an answer."""
        return Outcome(
            state=state,
            finish_reason=finish_reason,
            uncertain_usd=self.uncertain_usd,
            attempts=self.attempts,
            error=error,
        )

    def failed(self, error: str) -> Json:
        """The ledger's record of an end that a later run takes up again."""
        return self.outcome("failed", finish_reason="failed", error=error).to_json()


@dataclass(kw_only=True)
class Asker:
    """Asks each question once, whatever happens.

    Attributes:
      chat: The model that is asked.
      ledger: Answers what was asked before, and keeps what is answered now.
      prices: Of the model.
      budget: What may be spent.
      limits: Calls in flight.
      stop: Set when nothing more may be begun.
      backoff: When to ask again.
      max_tokens: Of one answer.
      temperature: Of the sampling; the server's default if None.
      timeout_s: Of one attempt, from sending it to the last byte of the answer.
      sleep: Waits that many seconds; `stop.sleep` if None.
      uniform: Draws from [0, 1).
      num_sent: Calls sent by this run.
      num_replayed: Questions that the ledger answered.
    """

    chat: ChatModel
    ledger: Ledger
    prices: Prices
    budget: Budget
    limits: Limits
    stop: Stop
    backoff: Backoff
    max_tokens: int
    temperature: float | None = None
    timeout_s: float
    sleep: Callable[[float], Awaitable[None]] | None = None
    uniform: Callable[[], float] = random.random
    num_sent: int = 0
    num_replayed: int = 0
    _failed_in_a_row: int = field(default=0, init=False)
    _under_way: dict[str, asyncio.Event] = field(default_factory=dict, init=False)

    async def ask_once(
        self,
        messages: Sequence[Message],
        *,
        item: str,
        template_hash: str,
        seed: int | None = None,
        vote: int = 0,
    ) -> Outcome:
        """The outcome of a question, from the ledger if it is closed there.

        Args:
          messages: The rendered prompt.
          item: The comparison or prompt that it is about, for the ledger's readers.
          template_hash: Of the words around the data.
          seed: Of the sampling, where the API has one.
          vote: Tells apart questions that are meant to be asked several times.

        Raises:
          StoppedError: If the run is stopping and the question is not yet closed.
          CommandError: If no question can be answered: wrong key, model or option,
            budget reached, disk full, or nothing but failures.
        """
        key = question_key(
            messages,
            api=self.chat.api,
            endpoint=self.chat.identity,
            max_tokens=self.max_tokens,
            model=self.chat.model,
            seed=seed,
            temperature=self.temperature,
            template_hash=template_hash,
            vote=vote,
        )
        while (same := self._under_way.get(key)) is not None:
            await same.wait()
        found = self.ledger.find(key)
        if found is not None:
            self.num_replayed += 1
            return Outcome.from_json(found)
        self.stop.check()
        at_most_usd = self.prices.at_most_usd(messages, self.max_tokens)
        question = _Question(messages, key, item, seed, at_most_usd)
        done = self._under_way[key] = asyncio.Event()
        try:
            outcome = await self._close(question)
        finally:
            del self._under_way[key]
            done.set()
        self._watch(question, outcome)
        return outcome

    async def _close(self, question: "_Question") -> Outcome:
        """Asks, and notes in the ledger what came of it."""
        try:
            outcome = await self._ask(question)
        except (UsageError, RefusedError, PreemptedError, StoppedError) as error:
            if question.attempts:  # its intents are settled: nothing else is unknown
                failed = question.failed(str(error))
                self.ledger.close_question(question.key, question.item, failed)
            raise
        self.ledger.close_question(question.key, question.item, outcome.to_json())
        return outcome

    async def _ask(self, question: "_Question") -> Outcome:
        """Asks until there is an answer or the attempts are used up."""
        reason = ""
        while question.attempts < self.backoff.max_attempts:
            try:
                answer = await self._attempt(question)
            except TransientError as error:
                reason = str(error)
                await self._back_off(question.attempts, error)
            except RejectedError as error:
                is_refusal = error.finish_reason == "refusal"
                return question.outcome(
                    "refused" if is_refusal else "too_long",
                    finish_reason=error.finish_reason,
                    error=str(error),
                )
            else:
                return Outcome.of_answer(
                    answer,
                    cost_usd=self.prices.cost_usd(answer.usage or Usage()),
                    uncertain_usd=question.uncertain_usd,
                    attempts=question.attempts,
                )
        return question.outcome("failed", finish_reason="failed", error=reason)

    async def _attempt(self, question: "_Question") -> Answer:
        """One call, its money set aside and its intent on disk before it is sent."""
        at_most_usd = question.at_most_usd
        async with self.limits.slot():
            await self.budget.reserve(at_most_usd)
            cost_usd = 0.0
            try:
                self.stop.check()
                self.ledger.intend(question.key, question.item, at_most_usd)
                self.num_sent += 1
                question.attempts += 1
                cost_usd = at_most_usd  # unless it is known to have cost less
                answer = await self._call(question)
                if answer.usage is None:
                    question.uncertain_usd += at_most_usd
                else:
                    cost_usd = self.prices.cost_usd(answer.usage)
                return answer
            except TransientError as error:
                cost_usd = at_most_usd if error.may_be_billed else 0.0
                question.uncertain_usd += cost_usd
                raise
            except (RejectedError, UsageError, RefusedError):
                cost_usd = 0.0
                raise
            finally:
                self.budget.settle(at_most_usd, cost_usd)

    async def _call(self, question: "_Question") -> Answer:
        """One call, within its time."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self.chat.ask(
                    question.messages,
                    max_tokens=self.max_tokens,
                    temperature=self.temperature,
                    seed=question.seed,
                )
        except TimeoutError:
            raise TransientError(
                f"{self.chat.host} did not answer within {self.timeout_s:g} s",
                may_be_billed=True,
            ) from None

    async def _back_off(self, attempt: int, error: TransientError) -> None:
        """Waits before the next attempt, and makes all calls wait if asked to."""
        _log.debug("attempt %d failed: %s", attempt, error)
        if error.retry_after_s is not None:
            self.limits.pause(error.retry_after_s)
        if attempt < self.backoff.max_attempts:
            delay_s = self.backoff.delay_s(attempt, error.retry_after_s, self.uniform())
            await (self.sleep or self.stop.sleep)(delay_s)
            self.stop.check()

    def _watch(self, question: "_Question", outcome: Outcome) -> None:
        """Tells of failures, and stops a run that gets nothing else."""
        if outcome.state != "failed":
            self._failed_in_a_row = 0
            return
        level = logging.DEBUG if self._failed_in_a_row else logging.WARNING
        _log.log(level, "no answer about %s: %s", question.item, outcome.error)
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _MAX_FAILED_IN_A_ROW:
            raise PreemptedError(
                f"{self._failed_in_a_row} questions in a row got no usable answer,"
                f" each after {outcome.attempts} attempts; check the endpoint, then run"
                f" the same command again; the last: {outcome.error}"
            )
