"""Before a run of several processes starts: whether all of them are there.

JAX aborts without a name where one is missing. So process 0 first listens itself, on
the port that JAX will use, until each process has said its number; then all are told
that they are complete, or who is missing. The port is free for JAX afterwards.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Collection, Iterator

from rlaif_jax import __version__, log
from rlaif_jax.errors import CommandError, InternalError, UsageError
from rlaif_jax.runtime.cluster import Membership
from rlaif_jax.typing import Json

_log = log.logger(__name__)

_SAID = {"process", "processes", "version"}
_TOLD = {"exit_code", "message"}
_EVERY_S = 0.2
_MAX_LINE = 4096
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")  # gRPC reads them in this order
_NO_PROXY = ("no_grpc_proxy", "no_proxy", "NO_PROXY")
_HINT = (
    "start the same command on every host of the run (--worker=all), and let TCP port"
    " {port} pass between the hosts (JAX_COORDINATOR_PORT names another)"
)


def call_roll(member: Membership, *, limit_s: float) -> None:
    """Returns on every process once all are there.

    Args:
      member: Who this is.
      limit_s: Longest wait for the last one.

    Raises:
      InternalError: On every process that came, if one did not, with its number; or
        if process 0 cannot be reached.
      UsageError: If the processes do not agree on what the run is.
    """
    warn_of_proxies(member.host)
    deadline = time.monotonic() + limit_s
    if member.process_id == 0:
        _ask_all(member, deadline, limit_s)
    else:
        _answer(member, deadline, limit_s)


def warn_of_proxies(host: str) -> None:
    """Tells if gRPC would look for a host of the run behind a proxy."""
    for name in (*_PROXIES, *map(str.upper, _PROXIES)):
        proxy = os.environ.get(name)
        if not proxy:
            continue
        if not _is_direct(host):
            _log.warning(
                f"{name} is set: the processes' connection to {host} may be sent to"
                f" that proxy and hang; add {host} to no_proxy, or unset {name}"
            )
        return


def _is_direct(host: str) -> bool:
    """Whether gRPC would use no proxy for a host."""
    if host in ("localhost", "::1") or host.startswith("127."):
        return True
    told = (os.environ.get(name) for name in _NO_PROXY)
    endings = next((text for text in told if text), "").split(",")
    return any(host.endswith(end.strip()) for end in endings if end.strip())


# --- process 0 -----------------------------------------------------------------


def _ask_all(member: Membership, deadline: float, limit_s: float) -> None:
    """Listens until all have come, and tells them so."""
    waiting: dict[int, socket.socket] = {}
    with _listening(member.port) as server, contextlib.ExitStack() as connections:
        failure = None
        while failure is None and len(waiting) < member.num_processes - 1:
            server.settimeout(max(0.01, min(1.0, deadline - time.monotonic())))
            try:
                connection = connections.enter_context(server.accept()[0])
            except TimeoutError:
                if time.monotonic() >= deadline:
                    failure = _absent(member, waiting, limit_s)
                continue
            line = _read(connection)
            if line is None:
                continue  # a port scan, or a process that knocked and left
            failure = _disagreement(member, line, waiting)
            # of two with one number both are told
            number = line["process"] if failure is None else -1
            waiting[number] = connection
        told = {"exit_code": 0, "message": ""}
        if failure is not None:
            told = {"exit_code": failure.exit_code, "message": str(failure)}
        for connection in waiting.values():
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(told).encode() + b"\n")
    if failure is not None:
        raise failure


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """A server on a port of every address of this machine."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    try:
        server = socket.create_server(
            ("", port), family=family, dualstack_ipv6=family == socket.AF_INET6
        )
    except OSError as error:
        raise InternalError(
            f"process 0 cannot listen on port {port}: {error}; is an earlier run still"
            " alive? JAX_COORDINATOR_PORT or RLAIF_COORDINATOR names another port"
        ) from error
    with server:
        yield server


def _absent(member: Membership, came: Collection[int], limit_s: float) -> InternalError:
    """Says who did not come."""
    missing = [i for i in range(1, member.num_processes) if i not in came]
    return InternalError(
        f"process {', '.join(map(str, missing))} of {member.num_processes} did not join"
        f" within {limit_s:g} s: {_HINT.format(port=member.port)}"
    )


def _disagreement(
    member: Membership, line: Json, waiting: dict[int, socket.socket]
) -> UsageError | None:
    """What is wrong with a process that came, if anything."""
    number, count = line["process"], line["processes"]
    if count != member.num_processes:
        return UsageError(
            f"process 0 is one of {member.num_processes}, but process {number} is one"
            f" of {count}: set the same number on all"
        )
    came_before = number in waiting and _is_open(waiting[number])
    if came_before or not 0 < number < count:
        return UsageError(
            f"two processes say that they are process {number}: give each its own"
            " number, from 0 on"
        )
    if line["version"] != __version__:
        return UsageError(
            f"process 0 runs rlaif_jax {__version__}, and process {number}"
            f" {line['version']}: install the same on all hosts"
        )
    return None


def _is_open(connection: socket.socket) -> bool:
    """Whether the process at its other end still waits."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.setblocking(True)


# --- the others ----------------------------------------------------------------


def _answer(member: Membership, deadline: float, limit_s: float) -> None:
    """Says this process's number to process 0, and hears whether all are there."""
    said = {
        "process": member.process_id,
        "processes": member.num_processes,
        "version": __version__,
    }
    reason = "it does not answer"
    while time.monotonic() < deadline:
        try:
            with _connected(member, deadline) as connection:
                connection.sendall(json.dumps(said).encode() + b"\n")
                # process 0 gives up at its own deadline, and says so
                connection.settimeout(limit_s + 10)
                line = _read(connection)
        except OSError as error:
            reason = _told(error)
            time.sleep(_EVERY_S)
            continue
        if line is None:
            reason = "it hung up"
            time.sleep(_EVERY_S)
            continue
        if line["exit_code"]:
            kind = {e.exit_code: e for e in CommandError.__subclasses__()}
            raise kind[line["exit_code"]](line["message"])
        return
    raise InternalError(
        f"process {member.process_id} of {member.num_processes} cannot reach process 0"
        f" at {member.coordinator} within {limit_s:g} s ({reason}):"
        f" {_HINT.format(port=member.port)}"
    )


def _connected(member: Membership, deadline: float) -> socket.socket:
    left = max(0.1, deadline - time.monotonic())
    return socket.create_connection((member.host, member.port), timeout=min(5.0, left))


def _told(error: OSError) -> str:
    """What an error of a connection means, for people."""
    if isinstance(error, socket.gaierror):
        return f"its name is not known: {error}"
    if isinstance(error, TimeoutError):
        return "no answer: it is down, or a firewall drops what is sent"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    return str(error)


def _read(connection: socket.socket) -> Json | None:
    """One line of JSON; None if something else, or nothing, came."""
    content = b""
    if connection.gettimeout() is None:
        connection.settimeout(2.0)
    try:
        while not content.endswith(b"\n") and len(content) < _MAX_LINE:
            part = connection.recv(_MAX_LINE)
            if not part:
                return None
            content += part
        line = json.loads(content)
    except (OSError, ValueError):
        return None
    if not isinstance(line, dict):
        return None
    return line if line.keys() in (_SAID, _TOLD) else None
