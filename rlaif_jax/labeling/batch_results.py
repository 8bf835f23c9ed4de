"""From a batch's results to the ledger, line by line."""

from contextlib import aclosing
from dataclasses import dataclass

from rlaif_jax import log
from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.batch_api import Batch, BatchApi, Result
from rlaif_jax.labeling.budget import Budget, Prices
from rlaif_jax.labeling.chat import Answer, RejectedError, TransientError
from rlaif_jax.labeling.failures import Failure
from rlaif_jax.labeling.ledger import Ledger, Unsettled
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.records import Usage

_log = log.logger(__name__)

_NOT_WORKED_ON = "the batch expired or was canceled before it"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a batch has brought.

    Attributes:
      answered: Questions that are closed now.
      left_open: Questions that may be asked again.
      lines: Lines of results, when they were read last.
      ignored: Of these, about questions that the batch does not ask, or has answered.
      unreadable: Of these, no results at all.
      error: What no request with these options gets past, if a line said so.
    """

    answered: int = 0
    left_open: int = 0
    lines: int = 0
    ignored: int = 0
    unreadable: int = 0
    error: UsageError | RefusedError | None = None

    def told(self) -> str:
        """The counts in words; those of lines only if something is odd."""
        counts = f"{self.answered:,} answered, {self.left_open:,} left open"
        odd = (("ignored", self.ignored), ("unreadable", self.unreadable))
        return counts + "".join(f", {n:,} lines {what}" for what, n in odd if n)


@dataclass(frozen=True, kw_only=True)
class Books:
    """Where questions of batches are settled.

    Attributes:
      ledger: Has an intent for each.
      budget: Has their most reserved.
      prices: Of a batch.
    """

    ledger: Ledger
    budget: Budget
    prices: Prices

    def release(self, name: str, why: str) -> int:
        """Opens the questions of a batch that nobody worked on, and counts them."""
        left = self.ledger.unsettled(name).values()
        for asked in left:
            self._settle(asked, Outcome.of_failure(why, uncertain_usd=0.0, attempts=0))
        return len(left)

    async def ingest(
        self,
        api: BatchApi,
        batch: Batch,
        name: str,
        tally: Tally,
        *,
        is_last_try: bool,
    ) -> None:
        """Closes the questions that a batch's results answer, and opens the others.

        What was ingested before is passed over, so this can be done again. A line
        about a question that the batch does not ask, or that is closed already, is
        counted and ignored: what is paid for is worth more than a clean file.

        Args:
          api: The provider's.
          batch: One that has ended.
          name: Ours.
          tally: Of what it has brought before, and brings now.
          is_last_try: Whether results that end early are taken for all there are:
            what they lack may have been billed.

        Raises:
          TransientError: If the results end early.
          Exception: Another `Failure`, if they can not be had.
        """
        left = self.ledger.unsettled(name)
        tally.lines = tally.ignored = tally.unreadable = 0
        async with aclosing(api.lines(batch)) as lines:
            async for line in lines:
                tally.lines += 1
                try:
                    result = api.result(line)
                except ValueError as error:
                    tally.unreadable += 1
                    _log.debug("line %d of %s: %s", tally.lines, batch.id, error)
                    continue
                self._take(result, left, tally)
        num_lost = (batch.num_results or 0) - tally.lines + tally.unreadable
        if num_lost > 0 and left and not is_last_try:
            raise TransientError(f"the results of {batch.id} lack {num_lost} lines")
        for asked in left.values():
            self._settle(
                asked,
                Outcome.of_failure(
                    f"{batch.id} has no result for it",
                    uncertain_usd=asked.at_most_usd if num_lost > 0 else 0.0,
                    attempts=1,
                ),
            )
        tally.left_open += len(left)

    def _take(self, result: Result, left: dict[bytes, Unsettled], tally: Tally) -> None:
        """Settles the question of one line."""
        short = short_key(result.custom_id)
        asked = left.get(short)
        if asked is None or self.ledger.asked(asked.place)[0] != result.custom_id:
            tally.ignored += 1
            return
        del left[short]
        outcome = _outcome(result.end, self.prices, asked.at_most_usd)
        self._settle(asked, outcome)
        if isinstance(result.end, UsageError | RefusedError):
            tally.error = tally.error or result.end
        if outcome.state == "failed":
            tally.left_open += 1
        else:
            tally.answered += 1

    def _settle(self, asked: Unsettled, outcome: Outcome) -> None:
        """Notes what came of a question, and what it has cost."""
        key, item = self.ledger.asked(asked.place)
        result = outcome.to_json() | {"via": "batch", "batch": asked.batch}
        self.ledger.close_question(key, item, result)
        cost_usd = outcome.cost_usd + outcome.uncertain_usd
        self.budget.settle(asked.at_most_usd, cost_usd)


def _outcome(
    end: Answer | Failure | None, prices: Prices, at_most_usd: float
) -> Outcome:
    """The outcome that a call with the same end has."""
    match end:
        case Answer():
            return Outcome.of_answer(
                end,
                cost_usd=prices.cost_usd(end.usage or Usage()),
                uncertain_usd=at_most_usd if end.usage is None else 0.0,
                attempts=1,
            )
        case RejectedError():
            return Outcome.of_rejection(end, uncertain_usd=0.0, attempts=1)
        case None:
            return Outcome.of_failure(_NOT_WORKED_ON, uncertain_usd=0.0, attempts=1)
    is_uncertain = isinstance(end, TransientError) and end.may_be_billed
    return Outcome.of_failure(
        str(end), uncertain_usd=at_most_usd if is_uncertain else 0.0, attempts=1
    )


def short_key(custom_id: str) -> bytes:
    """What the ledger holds of a key in memory; empty of what is no key."""
    try:
        return bytes.fromhex(custom_id[:32]) if len(custom_id) == 64 else b""
    except ValueError:
        return b""
