"""Progress on stderr: bars on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from rlaif_jax import log

_LINE_EVERY_S = 10.0

_log = log.logger(__name__)


class Console:
    """Where a command says how far it is; also usable without a terminal.

    Attributes:
      watch: Whether the user asked for live statistics.
    """

    def __init__(self, *, watch: bool = False, quiet: bool = False):
        self.watch = watch
        self._quiet = quiet
        self._bars: dict[str, _Bar] = {}
        self._rich: Progress | None = None
        if sys.stderr.isatty() and not quiet:
            self._rich = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}"),
                console=RichConsole(stderr=True),
            )

    def __enter__(self) -> "Console":
        if self._rich is not None:
            self._rich.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def say(self, text: str) -> None:
        """One line of news."""
        if self._quiet:
            return
        if self._rich is not None:
            self._rich.console.print(text, highlight=False, markup=False)
        else:
            _log.info(text)

    def update(
        self, name: str, done: int, total: int | None = None, note: str = ""
    ) -> None:
        """Moves the bar called `name` to `done` of `total`; makes it if it is new."""
        if self._quiet:
            return
        bar = self._bars.get(name)
        if bar is None:
            bar = self._bars[name] = _Bar(name, self._rich)
        bar.update(done, total, note)


class _Bar:
    """One bar, or one sequence of lines at least ten seconds apart."""

    def __init__(self, name: str, rich: Progress | None):
        self._name = name
        self._rich = rich
        self._task = None if rich is None else rich.add_task(name, note="")
        self._said_at = time.monotonic()

    def update(self, done: int, total: int | None, note: str) -> None:
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if done == total or now - self._said_at >= _LINE_EVERY_S:
            self._said_at = now
            of = "" if total is None else f"/{total}"
            _log.info(f"{self._name} {done}{of} {note}".rstrip())
