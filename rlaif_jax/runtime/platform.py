"""The accelerators of this machine, and how JAX is set up on them."""

import os
from pathlib import Path
from typing import Any

import jax

from rlaif_jax.typing import Json

_CACHE = "JAX_COMPILATION_CACHE_DIR"
_MIN_COMPILE_S = 0.5  # shorter compilations are not worth a file
_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"  # other platforms ignore it


def configure(*, debug: bool) -> None:
    """Sets JAX up for a command; before anything is computed.

    Compiled programs are kept in the folder that `JAX_COMPILATION_CACHE_DIR` names,
    or in `~/.cache/rlaif_jax/xla`.

    Args:
      debug: Stop at the first NaN, and use deterministic operations only. Slower.
    """
    folder = os.environ.get(_CACHE) or Path.home() / ".cache" / "rlaif_jax" / "xla"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_COMPILE_S)
    jax.config.update("jax_debug_nans", debug)
    flags = os.environ.get("XLA_FLAGS", "").split()
    if debug and _DETERMINISTIC not in flags:
        # read once, when the first device is asked for
        os.environ["XLA_FLAGS"] = " ".join([*flags, _DETERMINISTIC])


def steps_in_flight(platform: str) -> int:
    """Steps to dispatch before the oldest is awaited.

    Two, so that the host prepares a batch while devices compute. CPUs of several
    processes have no queue of collectives: processes that dispatch ahead of each other
    wait for each other for ever.

    Args:
      platform: Of the devices.
    """
    return 1 if platform == "cpu" and jax.process_count() > 1 else 2


def memory_limit(device: Any) -> int | None:
    """The bytes that programs may use of a device; None if it shares the host's.

    Args:
      device: A `jax.Device`, whose type checkers cannot read, of this process.
    """
    return (device.memory_stats() or {}).get("bytes_limit")  # None on CPUs


def host_bytes() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def describe() -> Json:
    """What JAX sees here: platform, devices, and memory in bytes where it is told."""
    local = jax.local_devices()
    memory = local[0].memory_stats() or {}  # None on CPUs
    return {
        "jax": jax.__version__,
        "platform": local[0].platform,
        "kind": local[0].device_kind,
        "devices": jax.device_count(),
        "local_devices": len(local),
        "processes": jax.process_count(),
        "bytes_per_device": memory_limit(local[0]),
        "bytes_in_use": memory.get("bytes_in_use"),
        "host_bytes": host_bytes(),
    }
