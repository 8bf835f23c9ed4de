"""Several processes that are one run: starting, telling, and stopping together."""

import atexit
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax._src import distributed as _coordination
from jax.experimental import multihost_utils

from rlaif_jax import log
from rlaif_jax.errors import CommandError, InternalError, PreemptedError, UsageError
from rlaif_jax.runtime.cluster import find_membership
from rlaif_jax.runtime.peers import PeerWatch
from rlaif_jax.runtime.rollcall import call_roll
from rlaif_jax.typing import Json

_log = log.logger(__name__)

_JAX_LATER_S = 60
_LONG_S = 86_400.0  # for others to end well
_SHARED_S = 10.0  # network file systems show new files late
_SHORT_S = 10.0  # for others to end of the same error
_PREEMPTED_S = 30.0  # and to have saved the same step


class _Run:
    """This process's part in a run of several.

    Attributes:
      watch: Over the others; None if it is alone.
      failure: That ended this process's work.
    """

    def __init__(self) -> None:
        self.watch: PeerWatch | None = None
        self.failure: BaseException | None = None


_run = _Run()


class _Stop:
    """What this process knows about being asked to stop.

    Attributes:
      requested: A signal came, while a `graceful_stop` was open.
      agreed: All processes of the run know that one was asked.
      asked: How often `stop_requested` was called, equal on all processes.
      depth: How many are open.
      sigterm: Python's handler when `start` joined the run. JAX's own lies below it
        and cannot be seen from here; None if nothing was joined.
    """

    def __init__(self) -> None:
        self.requested = False
        self.agreed = False
        self.asked = 0
        self.depth = 0
        self.sigterm: Any = None


_stop = _Stop()


def start(*, start_s: float = 300.0, heartbeat_s: float = 60.0) -> None:
    """Joins the run's other processes; does nothing if there are none.

    Must come before anything that asks JAX for devices. A run of several processes
    is announced by `RLAIF_COORDINATOR` (host:port of process 0),
    `RLAIF_NUM_PROCESSES` and `RLAIF_PROCESS_ID`, or by `RLAIF_DISTRIBUTED=auto` on
    platforms where JAX finds its peers itself, such as TPU pods and Slurm.

    From then on this process ends with exit code 70 if another one dies.

    Args:
      start_s: Longest wait for all processes to be there.
      heartbeat_s: Of silence, after which a process is gone.

    Raises:
      UsageError: If the variables are incomplete or impossible.
      InternalError: If a process is missing, or process 0 cannot be reached.
    """
    member = find_membership(limit_s=start_s)
    if member is None:
        return
    call_roll(member, limit_s=start_s)
    _stop.sigterm = signal.getsignal(signal.SIGTERM)
    jax.config.update("jax_check_proxy_envs", False)  # the roll call has warned
    try:
        jax.distributed.initialize(
            coordinator_address=member.coordinator,
            num_processes=member.num_processes,
            process_id=member.process_id,
            local_device_ids=member.local_device_ids,
            cluster_detection_method="deactivate",  # all is known
            initialization_timeout=max(1, int(start_s)),
            # what names the process that is gone comes first
            heartbeat_timeout_seconds=int(heartbeat_s) + _JAX_LATER_S,
        )
    except (RuntimeError, ValueError) as error:
        raise InternalError(
            f"process {member.process_id} cannot join at {member.coordinator}: {error}"
        ) from error
    _run.watch = PeerWatch(
        _coordination.global_state.client,
        index=member.process_id,
        count=member.num_processes,
        limit_s=heartbeat_s,
    )
    atexit.register(_leave)  # before JAX's own farewell, which waits for all


@contextlib.contextmanager
def ending_together() -> Iterator[None]:
    """Notes an error that ends this process, so that the others are told of it.

    If the error may be that another process is gone, it is first found out which.
    """
    _run.failure = None
    try:
        yield
    except BaseException as error:
        if _run.watch is not None:
            if _may_be_of_a_peer(error):
                _run.watch.wait_for_verdict()
            _run.failure = error
        raise


def _may_be_of_a_peer(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is one of JAX's runtime but of memory."""
    if isinstance(error, CommandError) and not isinstance(error, InternalError):
        return False
    while error is not None:
        text = str(error)
        if "RESOURCE_EXHAUSTED" in text:
            return False
        if isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in text:
            return True
        error = error.__cause__ or error.__context__
    return False


def _leave() -> None:
    """Waits for the other processes' end; a failed process does not wait for long.

    JAX's own farewell aborts if a process does not come to it.
    """
    watch, failure = _run.watch, _run.failure
    if watch is None:
        return
    limit_s = _SHORT_S if failure is not None else _LONG_S
    limit_s = _PREEMPTED_S if isinstance(failure, PreemptedError) else limit_s
    if watch.everyone_leaves(limit_s=limit_s):
        watch.stop()
        return
    code = 70
    if failure is None:
        watch.wait_for_verdict()
        print("rlaif-jax: not all processes came to the run's end", file=sys.stderr)
    else:
        code = failure.exit_code if isinstance(failure, CommandError) else code
        code = 130 if isinstance(failure, KeyboardInterrupt) else code
        watch.tell(
            f"process {jax.process_index()} has ended with exit code {code}, and its"
            f" own message says why ({type(failure).__name__}: {failure})"
        )
        watch.wait_until_heard()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


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


def require_shared(folder: Path) -> None:
    """Refuses a folder that is not one and the same on all processes.

    Args:
      folder: Made if it is not there.

    Raises:
      UsageError: On every process, if one does not see what process 0 writes there.
    """
    if jax.process_count() == 1:
        return
    told = broadcast({"nonce": secrets.token_hex(8)})
    path = folder / f".seen-by-all-{told['nonce']}"
    with contextlib.suppress(OSError):  # then no process sees it, and all are told
        if is_main():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(socket.gethostname())
    broadcast({})  # it is there now
    deadline = time.monotonic() + _SHARED_S
    while not (sees := path.is_file()) and time.monotonic() < deadline:
        time.sleep(0.1)
    seen = multihost_utils.process_allgather(np.array(sees))
    if is_main():
        path.unlink(missing_ok=True)
    if not seen.all():
        blind = ", ".join(str(process) for process in np.flatnonzero(~seen))
        raise UsageError(
            f"{folder} is not shared by all hosts: process {blind} does not see what"
            " process 0 writes there; give an --out that every host has mounted"
        )


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


def stop_requested(step: int = 0) -> bool:
    """Whether to save and stop here; the same on every process.

    Args:
      step: Updates done; of no consequence. In a run of several processes all call
        this equally often, be it between steps, while they wait, or between batches
        of an evaluation, and JAX chooses a call that none of them has passed.

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
    _stop.asked += 1
    if not _stop.agreed:
        _stop.agreed = multihost_utils.reached_preemption_sync_point(_stop.asked)
    return _stop.agreed


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Notes the request; passes it on where JAX has to tell the other hosts."""
    if _stop.requested and number == signal.SIGINT:
        raise KeyboardInterrupt
    _stop.requested = True
    name = signal.Signals(number).name
    _log.warning(f"{name}: stopping after this step; a second SIGINT stops at once")
    if jax.distributed.is_initialized():
        os.kill(os.getpid(), signal.SIGTERM)
