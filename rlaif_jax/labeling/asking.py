"""The one path on which labels, completions and evaluations are paid for."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from rlaif_jax import log
from rlaif_jax.errors import PreemptedError, RefusedError, UsageError
from rlaif_jax.labeling.backoff import Backoff
from rlaif_jax.labeling.budget import Budget, Prices
from rlaif_jax.labeling.chat import Answer, ChatModel, RejectedError, TransientError
from rlaif_jax.labeling.ledger import CallLog
from rlaif_jax.labeling.limits import Limits
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.labeling.question import Addressee, Question
from rlaif_jax.labeling.stop import Stop, StoppedError
from rlaif_jax.labeling.tokens import expected_prompt_tokens
from rlaif_jax.labeling.watchdog import Watchdog
from rlaif_jax.records import Usage
from rlaif_jax.typing import Json

_log = log.logger(__name__)

_MAX_FAILED_IN_A_ROW = 20  # questions without an answer before the run is stopped


@dataclass(slots=True)
class _Asked:
    """A question, and what asking it has cost so far."""

    question: Question
    key: str
    size: Usage  # of one call, as expected
    at_most_usd: float  # of one call
    attempts: int = 0
    busy_s: float = 0.0  # of calls, and of the delays between them
    uncertain_usd: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)  # of calls that failed

    @property
    def item(self) -> str:
        """What it is about."""
        return self.question.item

    def failed(self, error: str) -> Outcome:
        """An end that a later run takes up again."""
        return Outcome.of_failure(
            error, uncertain_usd=self.uncertain_usd, attempts=self.attempts
        )

    def ended(self, outcome: Outcome) -> Json:
        """What the ledger keeps of an end."""
        if self.faults:
            outcome = replace(outcome, faults=dict(sorted(self.faults.items())))
        return outcome.to_json()


@dataclass(kw_only=True)
class Asker:
    """Asks each question once, whatever happens.

    Attributes:
      chat: The model that is asked.
      ledger: Answers what was asked before, and keeps what is answered now.
      prices: Of the model.
      budget: What may be spent.
      limits: When a call may start.
      stop: Set when nothing more may be begun.
      backoff: When to ask again.
      max_tokens: Of one answer.
      temperature: Of the sampling; the server's default if None.
      timeout_s: Of one attempt, from sending it to the last byte of the answer.
      question_timeout_s: Of all attempts and the delays between them; not of waiting
        for the server's limits, which are everyone's.
      watchdog: Watches the calls under way.
      sleep: Waits that many seconds; `stop.sleep` if None.
      clock: Seconds from any origin.
      uniform: Draws from [0, 1).
      if_open: What comes of a question that the ledger does not answer; it is asked
        if None.
      num_sent: Calls sent by this run.
      num_replayed: Questions that the ledger answered.
    """

    chat: ChatModel
    ledger: CallLog
    prices: Prices
    budget: Budget
    limits: Limits
    stop: Stop
    backoff: Backoff
    max_tokens: int
    temperature: float | None = None
    timeout_s: float
    question_timeout_s: float
    watchdog: Watchdog
    sleep: Callable[[float], Awaitable[None]] | None = None
    clock: Callable[[], float] = time.monotonic
    uniform: Callable[[], float] = random.random
    if_open: Outcome | None = None
    num_sent: int = 0
    num_replayed: int = 0
    _failed_in_a_row: int = field(default=0, init=False)
    _under_way: dict[str, asyncio.Event] = field(default_factory=dict, init=False)

    @property
    def addressee(self) -> Addressee:
        """Who is asked."""
        return Addressee(
            api=self.chat.api,
            identity=self.chat.identity,
            model=self.chat.model,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            settings=tuple(self.chat.settings.items()),
        )

    async def ask_once(self, question: Question) -> Outcome:
        """The outcome of a question, from the ledger if it is closed there.

        Raises:
          StoppedError: If the run is stopping and the question is not yet closed.
          CommandError: If no question can be answered: wrong key, model or option,
            budget reached, disk full, or nothing but failures.
        """
        key = self.addressee.key(question)
        while (same := self._under_way.get(key)) is not None:
            await same.wait()
        found = self.ledger.find(key)
        if found is not None:
            self.num_replayed += 1
            return Outcome.from_json(found)
        if self.if_open is not None:
            return self.if_open
        self.stop.check()
        messages = question.messages
        asked = _Asked(
            question,
            key,
            size=Usage(
                prompt_tokens=expected_prompt_tokens(messages),
                completion_tokens=self.max_tokens,
            ),
            at_most_usd=self.prices.at_most_usd(messages, self.max_tokens),
        )
        done = self._under_way[key] = asyncio.Event()
        try:
            outcome = await self._close(asked)
        finally:
            del self._under_way[key]
            done.set()
        self._watch(asked, outcome)
        return outcome

    async def _close(self, asked: _Asked) -> Outcome:
        """Asks, and notes in the ledger what came of it."""
        try:
            outcome = await self._ask(asked)
        except (UsageError, RefusedError, PreemptedError, StoppedError) as error:
            if asked.attempts:  # its intents are settled: nothing else is unknown
                failed = asked.ended(asked.failed(str(error)))
                self.ledger.close_question(asked.key, asked.item, failed)
            raise
        self.ledger.close_question(asked.key, asked.item, asked.ended(outcome))
        return outcome

    async def _ask(self, asked: _Asked) -> Outcome:
        """Asks until there is an answer, or attempts or time are used up."""
        pay = partial(self._pay, asked)
        while True:
            try:
                answer = await self.limits.within(asked.size, pay)
            except TransientError as error:
                asked.faults[error.fault] += 1
                if not await self._back_off(asked, error):
                    return asked.failed(self._why_no_more(asked, error))
            except RejectedError as error:
                return Outcome.of_rejection(
                    error, uncertain_usd=asked.uncertain_usd, attempts=asked.attempts
                )
            else:
                return Outcome.of_answer(
                    answer,
                    cost_usd=self.prices.cost_usd(answer.usage or Usage()),
                    uncertain_usd=asked.uncertain_usd,
                    attempts=asked.attempts,
                )

    async def _pay(self, asked: _Asked) -> Answer:
        """One call, its money set aside and its intent on disk before it is sent."""
        at_most_usd = asked.at_most_usd
        await self.budget.reserve(at_most_usd)
        cost_usd = 0.0
        try:
            self.stop.check()
            self.ledger.intend(asked.key, asked.item, at_most_usd)
            self.num_sent += 1
            asked.attempts += 1
            cost_usd = at_most_usd  # unless it is known to have cost less
            answer = await self._call(asked)
            if answer.usage is None:
                asked.uncertain_usd += at_most_usd
            else:
                cost_usd = self.prices.cost_usd(answer.usage)
            return answer
        except TransientError as error:
            cost_usd = at_most_usd if error.may_be_billed else 0.0
            asked.uncertain_usd += cost_usd
            raise
        except (RejectedError, UsageError, RefusedError):
            cost_usd = 0.0
            raise
        finally:
            self.budget.settle(at_most_usd, cost_usd)

    async def _call(self, asked: _Asked) -> Answer:
        """One call, within its time and its question's."""
        begun_at = self.clock()
        timeout_s = min(self.timeout_s, self.question_timeout_s - asked.busy_s)
        try:
            with self.watchdog.watched(asked.item):
                async with asyncio.timeout(timeout_s):
                    return await self.chat.ask(
                        asked.question.messages,
                        max_tokens=self.max_tokens,
                        temperature=self.temperature,
                        seed=asked.question.seed,
                    )
        except TimeoutError:
            raise TransientError(
                f"{self.chat.host} did not answer within {timeout_s:g} s",
                fault="deadline",
                may_be_billed=True,
            ) from None
        finally:
            asked.busy_s += self.clock() - begun_at

    async def _back_off(self, asked: _Asked, error: TransientError) -> bool:
        """Waits before the next attempt, if there is to be one, and says if there is.

        Makes all calls wait if the server asks for it.
        """
        _log.debug("attempt %d failed: %s", asked.attempts, error)
        if error.retry_after_s is not None:
            self.limits.pause(error.retry_after_s)
        if asked.attempts >= self.backoff.max_attempts:
            return False
        delay_s = self.backoff.delay_s(
            asked.attempts, error.retry_after_s, self.uniform()
        )
        if error.retry_after_s is None:
            asked.busy_s += delay_s
        if asked.busy_s >= self.question_timeout_s:
            return False
        await (self.sleep or self.stop.sleep)(delay_s)
        self.stop.check()
        return True

    def _why_no_more(self, asked: _Asked, error: TransientError) -> str:
        """Why a question is given up after that error."""
        if asked.busy_s < self.question_timeout_s:
            return str(error)
        return f"{error}; question_timeout_s={self.question_timeout_s:g} is used up"

    def _watch(self, asked: _Asked, outcome: Outcome) -> None:
        """Tells of failures, and stops a run that gets nothing else."""
        if outcome.state != "failed":
            self._failed_in_a_row = 0
            return
        level = logging.DEBUG if self._failed_in_a_row else logging.WARNING
        _log.log(level, "no answer about %s: %s", asked.item, outcome.error)
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _MAX_FAILED_IN_A_ROW:
            raise PreemptedError(
                f"{self._failed_in_a_row} questions in a row got no usable answer,"
                f" each after {outcome.attempts} attempts; check the endpoint, then run"
                f" the same command again; the last: {outcome.error}"
            )


class Posed(NamedTuple):
    """A question, and who puts it to a model.

    Attributes:
      asker: Of the model.
      question: What it is asked.
    """

    asker: Asker
    question: Question
