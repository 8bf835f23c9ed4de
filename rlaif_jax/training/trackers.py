"""Copies of a run's metrics in TensorBoard and W&B, which can never hold it up.

`metrics.jsonl` is the truth. A tracker works in a thread of its own behind a bounded
queue: what it cannot take in time is dropped and counted, and what it raises is told
once.
"""

import importlib
import importlib.util
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rlaif_jax import log
from rlaif_jax.checkpoint.agreement import on_first_process
from rlaif_jax.config_training import TrackerName
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.records import content_hash

_CAPACITY = 1000  # steps that may wait for a tracker
_CLOSE_S = 30.0  # that a run waits for a tracker at its end
_FLUSH_S = 10
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}

_log = log.logger(__name__)


class Tracker(Protocol):
    """Where numbers are sent; any of these may raise or take its time."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the numbers of one step."""
        ...

    def flush(self) -> None:
        """Puts what it has where it outlives this process."""
        ...

    def close(self) -> None:
        """Called once, after the last step."""
        ...


class TrackerThread:
    """A tracker that works on its own time.

    Attributes:
      dropped: Steps that found the queue full.
      failures: Calls that raised.
    """

    def __init__(
        self, name: str, open_: Callable[[], Tracker], *, capacity: int = _CAPACITY
    ):
        """Starts the thread, in which the tracker is opened.

        Args:
          name: For messages.
          open_: Makes the tracker.
          capacity: Steps that may wait.
        """
        self.dropped = 0
        self.failures = 0
        self._name = name
        self._queue: queue.Queue[Callable[[Tracker], None] | None] = queue.Queue(
            capacity
        )
        self._thread = threading.Thread(target=self._work, args=(open_,), daemon=True)
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Hands over the numbers of a step, if there is room."""
        self._put(lambda tracker: tracker.log(step, values))

    def flush(self) -> None:
        """Asks for a flush after what was handed over."""
        self._put(lambda tracker: tracker.flush())

    def close(self, *, timeout_s: float = _CLOSE_S) -> None:
        """Waits for what was handed over, but not for ever; tells what was lost.

        Args:
          timeout_s: How long to wait.
        """
        deadline = time.monotonic() + timeout_s
        try:
            self._queue.put(None, timeout=timeout_s)
            self._thread.join(max(0.0, deadline - time.monotonic()))
        except queue.Full:
            pass
        if self._thread.is_alive():
            left = self._queue.qsize()
            _log.warning("%s did not finish: %d steps are left", self._name, left)
        if self.dropped or self.failures:
            _log.warning(
                "%s missed %d steps and failed %d times; metrics.jsonl has them all",
                self._name,
                self.dropped,
                self.failures,
            )

    def _put(self, call: Callable[[Tracker], None]) -> None:
        try:
            self._queue.put_nowait(call)
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1:
                _log.warning("%s is slow: steps are dropped", self._name)

    def _work(self, open_: Callable[[], Tracker]) -> None:
        """The thread: everything that is asked for, in order."""
        tracker = self._tried(open_)
        while (call := self._queue.get()) is not None:
            if tracker is not None:
                self._tried(partial(call, tracker))
        if tracker is not None:
            self._tried(tracker.close)

    def _tried(self, action: Callable[[], Any]) -> Any:
        """What an action returns; None if it raises, which is told the first time."""
        try:
            return action()
        except Exception as error:  # a tracker's: whatever it is, training goes on
            self.failures += 1
            if self.failures == 1:
                _log.warning("%s failed, training goes on: %r", self._name, error)
            return None


class Trackers:
    """All trackers of a run; `with` closes them."""

    def __init__(self, names: tuple[TrackerName, ...], out: Path, *, step: int):
        """Opens them.

        Args:
          names: Which.
          out: The run folder.
          step: That the run goes on from: what a tracker has of later ones is dropped.
        """
        self._threads = [
            TrackerThread(name, partial(_OPENERS[name], out, step)) for name in names
        ]

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, *error: object) -> None:
        for thread in self._threads:
            thread.close()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Hands the numbers of a step to all."""
        for thread in self._threads:
            thread.log(step, values)

    def flush(self) -> None:
        """Asks all to flush; called before a checkpoint."""
        for thread in self._threads:
            thread.flush()


def require_trackers(names: tuple[TrackerName, ...]) -> None:
    """Refuses trackers whose package is not there, on all processes alike.

    Raises:
      UsageError: If process 0, which alone writes, lacks a package.
    """

    def look() -> int:
        for name in names:
            if importlib.util.find_spec(_PACKAGES[name]) is None:
                raise UsageError(
                    f"trackers={name} needs the package {_PACKAGES[name]}:"
                    " pip install 'rlaif_jax[trackers]', or leave it out"
                )
        return 0

    on_first_process(look, what="find the packages of trackers")


class _TensorBoard:
    """Event files in the run folder's `tensorboard`."""

    def __init__(self, out: Path, step: int):
        writer: Any = importlib.import_module("tensorboardX").SummaryWriter
        # readers forget the steps from here on that an earlier session wrote
        self._writer = writer(
            str(out / "tensorboard"), purge_step=step + 1, flush_secs=_FLUSH_S
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _WandB:
    """A run of W&B with an id that the run folder keeps.

    Without WANDB_API_KEY in the environment (or another WANDB_MODE) nothing is sent:
    the run lies in the folder's `wandb` until `wandb sync`. Steps that W&B has already
    are ignored by it, and equal.
    """

    def __init__(self, out: Path, step: int):
        wandb: Any = importlib.import_module("wandb")
        del step  # W&B drops what it has
        has_key = bool(os.environ.get("WANDB_API_KEY"))
        mode: Any = os.environ.get("WANDB_MODE", "online" if has_key else "offline")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "rlaif-jax"),
            name=out.name,
            dir=out,
            id=wandb_id(out),
            resume="allow",
            mode=mode,
            config=read_json(out / "config.json", "config of a run"),
            settings=wandb.Settings(console="off", silent=True),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def flush(self) -> None:
        """Its own process writes what it is given."""

    def close(self) -> None:
        self._run.finish()


def wandb_id(out: Path) -> str:
    """The id of a run folder's W&B run, made when it is first asked for."""
    path = out / "wandb.json"
    if not path.is_file():
        made = content_hash(str(out.resolve()), time.time_ns())[:16]
        write_json(path, {"id": made})
    return read_json(path, "id of a W&B run")["id"]


_OPENERS: dict[TrackerName, Callable[[Path, int], Tracker]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WandB,
}
