"""Runs the stages of a study, each once, several side by side."""

import importlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for_any
from pathlib import Path

from rlaif_jax.cli import config_of
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.reuse import begin_with_answers
from rlaif_jax.commands.sweep import best_run
from rlaif_jax.config_file import validate
from rlaif_jax.errors import PreemptedError, UsageError
from rlaif_jax.files import lock_file, read_json, write_json
from rlaif_jax.study.stage import Stage, resolve
from rlaif_jax.typing import Json

_DONE = "done.json"
_STOP_S = 30.0  # for a stage to save, once the study is gone


class Stages:
    """Where the stages of a study live, and what they returned.

    Attributes:
      root: Folder of the study's own stages.
      cache: Folder of the stages that all studies share.
    """

    def __init__(self, root: Path, cache: Path):
        self.root = root
        self.cache = cache

    def folder(self, stage: Stage) -> Path:
        """The folder of one stage."""
        return (self.cache if stage.cached else self.root) / stage.folder

    def result(self, stage: Stage) -> Json | None:
        """What the stage returned, or None if it has not ended."""
        path = self.folder(stage) / _DONE
        return read_json(path, "stage result") if path.is_file() else None

    def require_valid(self, stages: Sequence[Stage]) -> None:
        """Refuses a stage that would only find out by itself that it cannot run.

        Raises:
          UsageError: With the stage and what is wrong with its config.
        """
        folders = {stage.digest: self.folder(stage) for stage in stages}
        for stage in {stage.digest: stage for stage in stages}.values():
            try:
                validate(config_of(stage.verb), resolve(stage.document, folders))
            except UsageError as error:
                raise UsageError(
                    f"stage {stage.title!r} cannot run: {error}"
                ) from error

    def run(self, stages: Sequence[Stage], *, workers: int, console: Console) -> None:
        """Runs every stage that is not done, inputs first.

        Args:
          stages: In any order; equal stages may repeat. Together they are the study:
            others that are in its folder have been part of it before, and what they
            asked is not asked again.
          workers: Processes. With one, stages run in this process.
          console: Told about every stage that ends.

        Raises:
          CommandError: Of the first stage that fails; those that were running end
            first, and nothing that was done is lost.
        """
        todo = {s.digest: s for s in stages if self.result(s) is None}
        folders = {s.digest: self.folder(s) for s in stages}
        count = len({s.digest for s in stages})
        ended = count - len(todo)
        console.say(f"{len(todo)} of {count} stages to run, {workers} at a time")
        for _ in self._execute(todo, folders, workers, console):
            ended += 1
            console.update("stages", ended, count)

    def _execute(
        self,
        todo: dict[str, Stage],
        folders: dict[str, Path],
        workers: int,
        console: Console,
    ) -> Iterator[Stage]:
        """Yields each stage when it has ended."""
        in_use = frozenset(path.name for path in folders.values())
        with _submitter(workers) as submit:
            running: dict[Future[None], Stage] = {}
            while todo or running:
                busy = {stage.digest for stage in running.values()}
                for stage in _ready(todo, busy):
                    if len(running) == workers:
                        break
                    del todo[stage.digest]
                    console.say(stage.title)
                    sources = {key: best_run(folders[key]) for key in stage.needs}
                    document = resolve(stage.document, sources)
                    folder = folders[stage.digest]
                    future = submit(stage.verb, document, folder, in_use)
                    running[future] = stage
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    stage = running.pop(future)
                    future.result()
                    yield stage


def _ready(todo: dict[str, Stage], busy: set[str]) -> list[Stage]:
    """Stages all of whose inputs are done, in the order they were given."""
    waiting = todo.keys() | busy
    return [stage for stage in todo.values() if not stage.needs & waiting]


Submit = Callable[[str, Json, Path, frozenset[str]], Future[None]]


@contextmanager
def _submitter(workers: int) -> Iterator[Submit]:
    """Runs stages in fresh processes, or in this one if one worker is wanted."""
    if workers == 1:

        def here(
            verb: str, document: Json, folder: Path, in_use: frozenset[str]
        ) -> Future[None]:
            future: Future[None] = Future()
            future.set_result(run_stage(verb, document, folder, in_use))
            return future

        yield here
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start_worker, initargs=(threads,)
    ) as pool:
        yield lambda *job: pool.submit(run_stage, *job)


def _start_worker(threads: int) -> None:
    """Divides the cores among the workers; must run before JAX starts."""
    os.environ["NPROC"] = str(threads)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Stops this worker when the study is gone: it would wait for work for ever."""
    parent = parent_process()
    assert parent is not None  # a worker has one
    wait_for_any([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)  # the stage saves what it has
    time.sleep(_STOP_S)
    os._exit(PreemptedError.exit_code)


def run_stage(verb: str, document: Json, folder: Path, in_use: frozenset[str]) -> None:
    """Runs one command in its folder, unless another process has done so.

    Args:
      verb: The command.
      document: Its config.
      folder: Its folder.
      in_use: Names of the folders of all stages of the study.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lock_file(folder / ".lock"):
        if (folder / _DONE).is_file():
            return
        started = time.monotonic()
        config = validate(config_of(verb), document)
        begin_with_answers(verb, config, folder, in_use)
        command = importlib.import_module(f"rlaif_jax.commands.{verb}")
        result = command.run(config, folder, Console(quiet=True))
        seconds = time.monotonic() - started
        write_json(folder / _DONE, result | {"stage_seconds": seconds})
