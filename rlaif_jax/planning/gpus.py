"""GPUs that are not here: for them a plan is by the model, not by a compiler."""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from rlaif_jax.errors import UsageError
from rlaif_jax.planning.exchanges import Links
from rlaif_jax.planning.topology import Topology
from rlaif_jax.runtime.chips import find_chip

KINDS = {  # as people call them: as JAX does
    "a100-40gb": "NVIDIA A100-SXM4-40GB",
    "a100-80gb": "NVIDIA A100-SXM4-80GB",
    "a100-40gb-pcie": "NVIDIA A100-PCIE-40GB",
    "a100-80gb-pcie": "NVIDIA A100 80GB PCIe",
    "h100": "NVIDIA H100 80GB HBM3",
    "h100-pcie": "NVIDIA H100 PCIe",
    "h200": "NVIDIA H200",
    "gh200": "NVIDIA GH200 480GB",
    "l4": "NVIDIA L4",
    "l40s": "NVIDIA L40S",
}
_NAME = re.compile(r"^([a-z][a-z\d-]*):(\d+)$")
_HOST = 8  # GPUs of one host, as DGX and HGX have them
_BITS = 8e-9  # gigabits of a byte
# What JAX takes of a GPU's memory when it starts, unless XLA_PYTHON_CLIENT_MEM_FRACTION
# says otherwise: docs.jax.dev, "GPU memory allocation".
MEMORY_FRACTION = 0.75


@dataclass(frozen=True)
class Gpu:
    """A description, with the attributes of a `jax.Device` that a mesh reads."""

    id: int
    process_index: int
    device_kind: str
    platform: Literal["gpu"] = "gpu"


def is_gpus(name: str) -> bool:
    """Whether a topology's name is of GPUs."""
    found = _NAME.match(name)
    return found is not None and not re.match(r"^v\d", name)


def gpu_topology(name: str, link_gbps: float | None) -> Topology:
    """Hosts of 8 GPUs.

    Args:
      name: Their kind and number, as h100:16.
      link_gbps: What each sends to other hosts, in gigabits per second; None if that
        is not told.

    Raises:
      UsageError: If the kind is not known, or hosts would not be full.
    """
    found = _NAME.match(name)
    assert found is not None  # `is_gpus` has seen to it
    kind, number = found.group(1), int(found.group(2))
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(KINDS)}"
        raise UsageError(f"topology={name}: no GPU {kind!r}: {hint}")
    if number < 1 or (number > _HOST and number % _HOST):
        raise UsageError(
            f"topology={name}: hosts have {_HOST} GPUs, so give 1 to {_HOST}, or a"
            " multiple of that"
        )
    chip = find_chip(KINDS[kind])
    assert chip is not None  # a test goes through the table
    return Topology(
        name=name,
        devices=[Gpu(n, n // _HOST, KINDS[kind]) for n in range(number)],
        chip=chip,
        platform="gpu",
        links=Links(chip.link_rate, link_gbps and link_gbps / _BITS, _HOST),
        memory=chip.memory * MEMORY_FRACTION,
    )
