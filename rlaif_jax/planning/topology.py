"""Slices of TPUs that are not here, as their compiler knows them."""

import os
import re
from typing import Any, Literal, NamedTuple

from rlaif_jax.errors import UsageError
from rlaif_jax.planning.exchanges import Links
from rlaif_jax.runtime.chips import Chip, find_chip

_NAME = re.compile(r"^v\d+[a-z]*:\d+x\d+(?:x\d+)?$")
_ONE_CHIP = re.compile(r"^\w+:1x1(?:x1)?$")
# libtpu reads these when it is loaded
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",  # do not ask a cloud's metadata server
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",  # of this host, not of what is planned
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # nobody's TPU is touched
}


class Topology(NamedTuple):
    """Devices to compile for.

    Attributes:
      name: As given.
      devices: Descriptions of them, which hold no memory and run nothing.
      chip: What each of them can do.
      platform: What JAX calls their kind: tpu, or gpu.
      links: How fast they send.
      memory: Bytes of each that programs may use.
    """

    name: str
    devices: list[Any]
    chip: Chip
    platform: Literal["tpu", "gpu"]
    links: Links
    memory: float


def tpu_topology(name: str, num_slices: int = 1) -> Topology:
    """A slice of TPUs, or several that a data-center network joins.

    No TPU of this host is touched by it; JAX may still take what it has, unless it is
    told to take CPUs.

    Args:
      name: Its generation, and its chips along each dimension, as v5e:4x8.
      num_slices: All alike.

    Raises:
      UsageError: If there is no such slice, or no compiler for TPUs here.
    """
    if not _NAME.match(name):
        raise UsageError(
            f"topology={name}: write a generation of TPUs and its chips along each"
            " dimension, as v5e:4x8 or v5p:4x4x4, or GPUs and their number, as h100:8"
        )
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    from jax.experimental import topologies  # loads libtpu when it is asked

    # a host has four chips, unless it is told to have one
    host = {"chips_per_host_bounds": (1, 1, 1)} if _ONE_CHIP.match(name) else {}
    try:
        found = topologies.get_topology_desc(
            platform="tpu", topology_name=name, num_slices=num_slices, **host
        )
    except (RuntimeError, FileNotFoundError, ImportError) as error:
        reason = " ".join(str(error).split())
        if "not installed" in reason:
            raise UsageError(
                "there is no compiler for TPUs here: pip install 'rlaif_jax[plan]'"
            ) from error
        raise UsageError(f"topology={name}: {reason}") from error
    kind = found.devices[0].device_kind
    chip = find_chip(kind)
    if chip is None or chip.link_rate is None:
        raise UsageError(
            f"topology={name}: how fast a {kind} or its links are is not known here:"
            " choose v4, v5e, v5p or v6e"
        )
    if num_slices > 1 and chip.network_rate is None:
        raise UsageError(
            f"slices={num_slices}: how fast slices of {name} are joined is not known"
            " here: choose v5e, v5p or v6e"
        )
    shown = name if num_slices == 1 else f"{num_slices} x {name}"
    return Topology(
        name=shown,
        devices=list(found.devices),
        chip=chip,
        platform="tpu",
        links=Links(chip.link_rate),
        memory=chip.memory,
    )
