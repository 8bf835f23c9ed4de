"""Which processes make up a run: by variables, or as JAX finds them on its platform.

What JAX would take without a word, and then wait for in vain, is refused here.
"""

import os
from typing import NamedTuple

from jax._src.clusters import ClusterEnv
from jax._src.clusters.cloud_tpu_cluster import BaseTpuCluster

from rlaif_jax import log
from rlaif_jax.errors import InternalError, UsageError

_log = log.logger(__name__)

_COORDINATOR = "RLAIF_COORDINATOR"
_NUM_PROCESSES = "RLAIF_NUM_PROCESSES"
_PROCESS_ID = "RLAIF_PROCESS_ID"
_DETECT = "RLAIF_DISTRIBUTED"
_PORT = "JAX_COORDINATOR_PORT"
_DEVICES = "JAX_LOCAL_DEVICE_IDS"  # JAX reads it only where it is told no devices

# JAX's own choice for TPUs, 8482, is closed by some of their images: jax#35905
_TPU_PORT = "8476"
_SLURM = (
    "SLURM_JOB_ID",
    "SLURM_STEP_NODELIST",
    "SLURM_NTASKS",
    "SLURM_PROCID",
    "SLURM_LOCALID",
)
_GKE_ID = "TPU_WORKER_ID"
_GKE_HOSTS = ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES")
_SLICES = (
    "MEGASCALE_COORDINATOR_ADDRESS",
    "MEGASCALE_NUM_SLICES",
    "MEGASCALE_SLICE_ID",
)


class Membership(NamedTuple):
    """This process's place in a run of several.

    Attributes:
      coordinator: host:port of process 0, the same on every process.
      num_processes: Of the run.
      process_id: Of this one.
      found_by: What told so.
      local_device_ids: The only devices that this process may see; None: those of
        `JAX_LOCAL_DEVICE_IDS`, or all.
    """

    coordinator: str
    num_processes: int
    process_id: int
    found_by: str
    local_device_ids: tuple[int, ...] | None = None

    @property
    def host(self) -> str:
        """Of process 0."""
        return self.coordinator.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Where process 0 listens."""
        return int(self.coordinator.rpartition(":")[2])


def find_membership(*, limit_s: float) -> Membership | None:
    """This process's place in the run; None if it is a run of its own.

    Args:
      limit_s: Longest wait for the name of process 0's host to be known.

    Raises:
      UsageError: If what the environment says is incomplete or impossible.
      InternalError: If the platform does not answer.
    """
    detect = os.environ.get(_DETECT)
    if detect not in (None, "auto"):
        raise UsageError(f"{_DETECT}={detect!r} is not known: unset it, or say auto")
    given = [n for n in (_COORDINATOR, _NUM_PROCESSES, _PROCESS_ID) if n in os.environ]
    if not given and detect is None:
        _warn_if_alone()
        return None
    found = _by_variables(given) if given else _by_platform(limit_s)
    return _checked(found)


def _by_variables(given: list[str]) -> Membership:
    if len(given) < 3:
        raise UsageError(
            f"only {', '.join(given)} is set: give {_COORDINATOR}, {_NUM_PROCESSES} "
            f"and {_PROCESS_ID}, or none of them"
        )
    count, index = _number(_NUM_PROCESSES), _number(_PROCESS_ID)
    if index >= count:
        raise UsageError(f"{_PROCESS_ID}={index} is not below {_NUM_PROCESSES}={count}")
    return Membership(os.environ[_COORDINATOR], count, index, "RLAIF variables")


def _by_platform(limit_s: float) -> Membership:
    """What JAX finds, with a port that TPU hosts let through."""
    _require_whole_gke()
    try:
        kind = _platform()
        is_tpu = issubclass(kind, BaseTpuCluster)
        port = os.environ.get(_PORT) or (_TPU_PORT if is_tpu else None)
        own = is_tpu or os.environ.get(_DEVICES)
        local = None if own else kind.get_local_process_id()
        return Membership(
            kind.get_coordinator_address(
                timeout_secs=int(limit_s), override_coordinator_port=port
            ),
            kind.get_process_count(),
            kind.get_process_id(),
            kind.name or kind.__name__,
            None if local is None else (local,),
        )
    except OSError as error:
        raise InternalError(
            f"{_DETECT}=auto: the metadata server does not answer: {error}"
        ) from error
    except (ValueError, KeyError, RuntimeError, IndexError) as error:
        raise InternalError(
            f"{_DETECT}=auto: JAX does not find the other processes: {error}"
        ) from error


def _platform() -> type[ClusterEnv]:
    """The first of JAX's platforms that this process runs on."""
    for kind in ClusterEnv._cluster_types:
        if not kind.opt_in_only_method and kind.is_env_present():
            return kind
    slurm = _missing(_SLURM)
    if len(slurm) < len(_SLURM):
        raise UsageError(
            f"{_DETECT}=auto: this is a SLURM job, but {', '.join(slurm)} is not set:"
            " start every process with srun"
        )
    if any(name in os.environ for name in (*_GKE_HOSTS, _GKE_ID)):
        raise UsageError(
            f"{_DETECT}=auto: {_GKE_ID} or {_GKE_HOSTS[1]} is set as on GKE, but JAX"
            " sees no TPU here, or the other of the two is not set: ask for"
            " google.com/tpu in the pod, and install jax[tpu]"
        )
    raise UsageError(
        f"{_DETECT}=auto: this is no TPU VM, no GKE pod with TPUs and no SLURM step: "
        f"set {_COORDINATOR}, {_NUM_PROCESSES} and {_PROCESS_ID}"
    )


def _require_whole_gke() -> None:
    """Refuses what a JobSet or GKE's webhook has set in part only."""
    if any(name in os.environ for name in _GKE_HOSTS) and _GKE_ID not in os.environ:
        raise UsageError(
            f"{_GKE_HOSTS[1]} is set, but {_GKE_ID} is not: which of these hosts is"
            " this? GKE sets both in a pod that asks for google.com/tpu"
        )
    slices = _missing(_SLICES)
    if 0 < len(slices) < len(_SLICES):
        raise UsageError(
            f"this is a run of several slices, but {', '.join(slices)} is not set:"
            " give all three MEGASCALE_ variables, or none"
        )


def _checked(found: Membership) -> Membership:
    """Refuses what no run can be."""
    host, _, port = found.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(
            f"the address of process 0, {found.coordinator!r}, is not host:port"
        )
    if found.process_id >= found.num_processes:
        raise UsageError(
            f"{found.found_by}: process {found.process_id} is not below the number of"
            f" processes, {found.num_processes}"
        )
    return found


def _warn_if_alone() -> None:
    """Tells when a launcher has started several, and none will join the others."""
    hosts = os.environ.get("TPU_WORKER_HOSTNAMES", "").count(",") + 1
    tasks = os.environ.get("SLURM_NTASKS", "1")
    in_step = not _missing(_SLURM)
    if hosts > 1 or (in_step and tasks != "1"):
        count = tasks if in_step else hosts
        _log.warning(
            f"one of {count} processes, and {_DETECT}=auto is not set: each of them is"
            " a run of its own"
        )


def _missing(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name not in os.environ]


def _number(name: str) -> int:
    """A natural number from the environment."""
    text = os.environ[name]
    if not text.isdecimal():
        raise UsageError(f"{name}={text!r} is not a number")
    return int(text)
