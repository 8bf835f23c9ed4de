"""Finds a batch whose creation was not confirmed: a crash or an error came between."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from rlaif_jax.labeling.batch_api import Batch, BatchApi
from rlaif_jax.labeling.batch_results import Books, short_key
from rlaif_jax.labeling.batches import Entry, Journal

_SKEW_S = 600.0  # between our clock and a provider's
_NUM_PROBED = 100  # results of others, before a batch is taken for theirs
_NUM_LISTINGS = 3  # without a batch, before it is taken for never created


class Search:
    """The search for one batch, listing by listing.

    While a batch may be it, and has no results yet that would tell, it is neither
    found nor lost: its questions must not be asked again.

    Attributes:
      is_lost: Whether the provider never got it.
    """

    def __init__(self, entry: Entry, *, api: BatchApi, journal: Journal, books: Books):
        self.is_lost = False
        self._entry = entry
        self._api = api
        self._journal = journal
        self._books = books
        self._num_listings = 0  # in a row, without a candidate
        self._others: set[str] = set()  # batches that were candidates, and are not it

    async def found(self) -> Batch | None:
        """The batch, if the provider's list has it and it is certain.

        Raises:
          Exception: A `Failure` of the provider's.
        """
        async with aclosing(self._candidates()) as candidates:
            async for batch in candidates:
                if batch.name is not None:
                    return batch
                is_ours = await self._is_ours(batch)
                if is_ours is None:
                    self._num_listings = 0
                    return None
                if is_ours:
                    return batch
                self._others.add(batch.id)
        self._num_listings += 1
        self.is_lost = self._num_listings >= _NUM_LISTINGS
        return None

    async def _candidates(self) -> AsyncGenerator[Batch, None]:
        """Yields the batches that are it, or may be."""
        known = {one.id for one in self._journal.entries} | self._others
        entry = self._entry
        async for batch in self._api.recent(entry.planned_at - _SKEW_S):
            is_named = batch.name is not None and (
                batch.name == entry.name or (entry.file and batch.source == entry.file)
            )
            is_alike = batch.name is None and batch.size == entry.size
            if batch.id not in known and (is_named or is_alike):
                yield batch

    async def _is_ours(self, batch: Batch) -> bool | None:
        """Whether one of the first results of a batch is about one of our questions.

        None as long as there is no result to tell.
        """
        if not batch.is_ended:
            return None
        keys = self._books.ledger.unsettled(self._entry.name)
        num_others = 0
        async with aclosing(self._api.lines(batch)) as lines:
            async for line in lines:
                try:
                    if short_key(self._api.result(line).custom_id) in keys:
                        return True
                except ValueError:
                    continue
                num_others += 1
                if num_others == _NUM_PROBED:
                    break
        return False if num_others else None
