"""Several processes that are one run: starting, telling, and stopping together."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from rlaif_jax import log
from rlaif_jax.errors import InternalError, UsageError
from rlaif_jax.typing import Json

_log = log.logger(__name__)

_COORDINATOR = "RLAIF_COORDINATOR"
_NUM_PROCESSES = "RLAIF_NUM_PROCESSES"
_PROCESS_ID = "RLAIF_PROCESS_ID"
_DETECT = "RLAIF_DISTRIBUTED"


class _Stop:
    """What this process knows about being asked to stop.

    Attributes:
      requested: A signal came, while a `graceful_stop` was open.
      depth: How many are open.
      sigterm: Python's handler when `start` joined the run. JAX's own lies below it
        and cannot be seen from here; None if nothing was joined.
    """

    def __init__(self) -> None:
        self.requested = False
        self.depth = 0
        self.sigterm: Any = None


_stop = _Stop()


def start() -> None:
    """Joins the run's other processes; does nothing if there are none.

    Must come before anything that asks JAX for devices. A run of several processes
    is announced by `RLAIF_COORDINATOR` (host:port of process 0),
    `RLAIF_NUM_PROCESSES` and `RLAIF_PROCESS_ID`, or by `RLAIF_DISTRIBUTED=auto` on
    platforms where JAX finds its peers itself, such as TPU pods and Slurm.

    Raises:
      UsageError: If the variables are incomplete or impossible.
    """
    detect = os.environ.get(_DETECT)
    if detect not in (None, "auto"):
        raise UsageError(f"{_DETECT}={detect!r} is not known: unset it, or say auto")
    given = [n for n in (_COORDINATOR, _NUM_PROCESSES, _PROCESS_ID) if n in os.environ]
    if not given and detect is None:
        return
    _stop.sigterm = signal.getsignal(signal.SIGTERM)
    if not given:
        jax.distributed.initialize()
        return
    if len(given) < 3:
        raise UsageError(
            f"only {', '.join(given)} is set: give {_COORDINATOR}, {_NUM_PROCESSES} "
            f"and {_PROCESS_ID}, or none of them"
        )
    count, index = _number(_NUM_PROCESSES), _number(_PROCESS_ID)
    if index >= count:
        raise UsageError(f"{_PROCESS_ID}={index} is not below {_NUM_PROCESSES}={count}")
    jax.distributed.initialize(
        coordinator_address=os.environ[_COORDINATOR],
        num_processes=count,
        process_id=index,
        cluster_detection_method="deactivate",  # the environment has said it all
    )


def is_main() -> bool:
    """Whether this is process 0, the one that writes logs and reports."""
    return jax.process_index() == 0


def broadcast(document: Json) -> Json:
    """Process 0's small JSON object, on every process; all of them call it."""
    if jax.process_count() == 1:
        return document
    content = np.frombuffer(json.dumps(document).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(content.size)))
    padded = np.zeros(size, np.uint8)
    if is_main():
        padded[:] = content
    return json.loads(multihost_utils.broadcast_one_to_all(padded).tobytes())


def broadcast_array(array: np.ndarray) -> np.ndarray:
    """Process 0's array, on every process; all call it with one of its shape."""
    if jax.process_count() == 1:
        return array
    return np.asarray(multihost_utils.broadcast_one_to_all(array))


@contextlib.contextmanager
def graceful_stop() -> Iterator[None]:
    """While open, SIGTERM and the first SIGINT ask for a stop at a step's boundary.

    The second SIGINT is a `KeyboardInterrupt`. In a run of several processes SIGTERM
    is left to JAX, which tells all hosts; SIGINT is passed on to it. Only for the
    main thread. May be nested: a request stands until the outermost is closed.
    """
    distributed = jax.distributed.is_initialized()
    numbers = [signal.SIGINT] if distributed else [signal.SIGINT, signal.SIGTERM]
    previous = {n: signal.signal(n, _on_signal) for n in numbers}
    _stop.depth += 1
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _stop.depth -= 1
        if _stop.depth == 0:
            _stop.requested = False


def stop_requested(step: int) -> bool:
    """Whether to save and stop before this step; the same on every process.

    Args:
      step: Updates done. In a run of several processes all call this once a step,
        and JAX chooses a step that none of them has passed.

    Raises:
      InternalError: If some library has replaced JAX's SIGTERM handler, so that a
        preemption would kill the run unsaved.
    """
    if not jax.distributed.is_initialized():
        return _stop.requested
    handler = signal.getsignal(signal.SIGTERM)
    if _stop.sigterm is not None and handler is not _stop.sigterm:
        raise InternalError(
            f"SIGTERM is handled by {handler!r}, installed after the run started: "
            "preemptions would go unnoticed; do not import what installs it"
        )
    return multihost_utils.reached_preemption_sync_point(step)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Notes the request; passes it on where JAX has to tell the other hosts."""
    if _stop.requested and number == signal.SIGINT:
        raise KeyboardInterrupt
    _stop.requested = True
    name = signal.Signals(number).name
    _log.warning(f"{name}: stopping after this step; a second SIGINT stops at once")
    if jax.distributed.is_initialized():
        os.kill(os.getpid(), signal.SIGTERM)


def _number(name: str) -> int:
    """A natural number from the environment."""
    text = os.environ[name]
    if not text.isdecimal():
        raise UsageError(f"{name}={text!r} is not a number")
    return int(text)
