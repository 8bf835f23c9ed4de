"""`engine=batch`: the provider's Batch API fills the ledger before anything is called.

What runs after it is what runs without it, and finds its answers in the ledger.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rlaif_jax.config import CompleteConfig, LabelConfig
from rlaif_jax.config_batch import BatchConfig
from rlaif_jax.errors import CorruptDataError, RefusedError, UsageError
from rlaif_jax.labeling.asking import Asker, Posed
from rlaif_jax.labeling.batch_api import BatchApi
from rlaif_jax.labeling.batch_patience import Patience
from rlaif_jax.labeling.batch_plan import Planner
from rlaif_jax.labeling.batch_results import Books
from rlaif_jax.labeling.batch_run import BatchRun
from rlaif_jax.labeling.batches import Journal
from rlaif_jax.labeling.ledger import Ledger
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.labeling.question import Addressee, Question
from rlaif_jax.labeling.stop import Stop, stop_on_signals
from rlaif_jax.records import content_hash

_JOURNAL = "batches.jsonl"
_SPOOLS = "batches"  # the folder of requests on their way

_LEFT_OPEN = Outcome.of_failure(
    "no batch has answered it", uncertain_usd=0.0, attempts=0
)


def price_share(config: LabelConfig | CompleteConfig) -> float:
    """What is paid of the listed prices."""
    return _options(config).price_share if config.engine == "batch" else 1.0


async def ask_ahead(
    config: LabelConfig | CompleteConfig,
    *,
    askers: Sequence[Asker],
    posed: Callable[[], Iterable[Posed]],
    out: Path,
    tell: Callable[[str], None],
) -> None:
    """Has batches answer what the ledger leaves open, if the config wants it.

    Args:
      config: The run's.
      askers: Of all models that are asked.
      posed: All questions of the run, from the first one, whenever it is called.
      out: The run folder.
      tell: Says a line of news.

    Raises:
      UsageError: If batches of this folder are under way, and the engine is another.
      CorruptDataError: If the ledger names a batch that the journal lacks.
      PreemptedError: If stopped by a signal, or the batches take too long.
      CommandError: If no question can be asked, or the budget is reached.
    """
    journal = Journal(out / _JOURNAL)
    if askers:
        ledger = askers[0].ledger
        assert isinstance(ledger, Ledger)  # only tasks on a cluster have another log
        _require_known(journal, ledger)
    if config.engine != "batch":
        _require_none_under_way(journal, out, config.engine)
        return
    options = _options(config)
    first_askers = {asker.addressee: asker for asker in reversed(askers)}
    runs = [
        _batch_run(asker, options, journal, _put_to(addressee, posed), out, tell)
        for addressee, asker in first_askers.items()
    ]
    await _run_all(runs, askers[0].stop)
    if options.rest == "wait":
        for asker in askers:
            asker.if_open = _LEFT_OPEN


def _options(config: LabelConfig | CompleteConfig) -> BatchConfig:
    """The options of batches."""
    return config.batch or BatchConfig()


def _require_known(journal: Journal, ledger: Ledger) -> None:
    """Refuses to go on if nobody knows what has become of a question."""
    known = {one.name for one in journal.entries if not one.is_done}
    if lost := ledger.batches() - known:
        raise CorruptDataError(
            f"{ledger.path} has questions of batch {min(lost)}, which {_JOURNAL} beside"
            " it does not have under way: restore both files"
        )


def _require_none_under_way(journal: Journal, out: Path, engine: str) -> None:
    """Refuses to ask what a batch is asking."""
    alive = [one.id or one.name for one in journal.entries if not one.is_done]
    if alive:
        raise UsageError(
            f"{len(alive)} batches of {out} are under way, {alive[0]} the first: run"
            f" with engine=batch until they have ended, not with engine={engine}"
        )


def _put_to(
    addressee: Addressee, posed: Callable[[], Iterable[Posed]]
) -> Callable[[], Iterator[Question]]:
    """The questions to one addressee, whoever of its askers puts them."""

    def questions() -> Iterator[Question]:
        for asker, question in posed():
            if asker.addressee == addressee:
                yield question

    return questions


def _batch_run(
    asker: Asker,
    options: BatchConfig,
    journal: Journal,
    questions: Callable[[], Iterator[Question]],
    out: Path,
    tell: Callable[[str], None],
) -> BatchRun:
    """The batches of one model."""
    assert isinstance(asker.ledger, Ledger)  # no other keeps what batches ask
    api = _APIS[asker.chat.api](asker, options)
    books = Books(
        ledger=asker.ledger,
        budget=asker.budget,
        prices=asker.prices.times(options.price_share),
    )
    planner = Planner(
        api=api,
        asker=asker,
        books=books,
        journal=journal,
        folder=out / _SPOOLS,
        questions=questions,
        addressee=content_hash(dataclasses.astuple(asker.addressee)),
        max_requests=min(options.max_requests or api.max_requests, api.max_requests),
        max_bytes=min(options.max_bytes or api.max_bytes, api.max_bytes),
    )
    return BatchRun(
        api=api,
        planner=planner,
        books=books,
        journal=journal,
        config=options,
        patience=Patience(
            asker.chat.host, poll_s=options.poll_s, max_wait_s=options.max_wait_s
        ),
        host=asker.chat.host,
        say=tell,
    )


# an SDK takes a second to import, and a run needs one of them
def _openai(asker: Asker, options: BatchConfig) -> BatchApi:
    from rlaif_jax.labeling.openai_batches import OpenAIBatches
    from rlaif_jax.labeling.openai_model import OpenAIModel

    assert isinstance(asker.chat, OpenAIModel)
    return OpenAIBatches(asker.chat, deletes=options.files == "delete")


def _anthropic(asker: Asker, options: BatchConfig) -> BatchApi:
    from rlaif_jax.labeling.anthropic_batches import AnthropicBatches
    from rlaif_jax.labeling.anthropic_chat import AnthropicChat

    del options
    assert isinstance(asker.chat, AnthropicChat)
    return AnthropicBatches(asker.chat)


_APIS = {
    "openai": _openai,
    "openai_responses": _openai,
    "anthropic": _anthropic,
}


async def _run_all(runs: Sequence[BatchRun], stop: Stop) -> None:
    """Runs the batches of all models at once, until they end or a signal comes.

    A reached budget ends one model's run after its batches; the others read theirs.

    Raises:
      CommandError: What ended the first of them, or the signal.
    """
    with stop_on_signals(stop):
        working = {asyncio.create_task(run.run()) for run in runs}
        stopping = asyncio.create_task(stop.wait())
        left, refused = set(working), None
        try:
            while left and stop.error is None:
                done, _ = await asyncio.wait(
                    {stopping, *left}, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done - {stopping}:
                    try:
                        task.result()
                    except RefusedError as error:
                        refused = refused or error
                left -= done
            if error := stop.error or refused:
                raise error
        finally:
            for task in (stopping, *working):
                task.cancel()
            await asyncio.gather(stopping, *working, return_exceptions=True)
