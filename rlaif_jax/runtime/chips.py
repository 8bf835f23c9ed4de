"""What an accelerator can do at most, as its maker says."""

from typing import NamedTuple

_GIB = 2**30


class Chip(NamedTuple):
    """What JAX calls one device.

    Attributes:
      flops: FLOP/s of dense bfloat16 products.
      memory: Bytes of its main memory.
      memory_rate: Bytes/s to and from it.
      link_rate: Bytes/s that it sends to others nearby, over all of its links; None if
        that depends on the machine.
      network_rate: Bytes/s of its share of what joins slices; None if not known.
    """

    flops: float
    memory: float
    memory_rate: float
    link_rate: float | None = None
    network_rate: float | None = None


# By `device_kind`. Google: docs.cloud.google.com/tpu/docs, a page a generation; what it
# calls bidirectional bandwidth is halved here, chips of v2 and v3 are two devices, and
# the data-center network of a pod is shared by its 256 chips.
# NVIDIA: the data sheets, whose figures with sparsity and for both directions of NVLink
# or PCIe are halved.
_V5E = Chip(197e12, 16 * _GIB, 819e9, 200e9, 3.125e9)
_V5P = Chip(459e12, 95 * _GIB, 2765e9, 600e9, 6.25e9)
_V6E = Chip(918e12, 32 * _GIB, 1638e9, 400e9, 12.5e9)
_CHIPS = {
    "TPU v2": Chip(22.5e12, 8 * _GIB, 350e9),
    "TPU v3": Chip(61.5e12, 16 * _GIB, 450e9),
    "TPU v4": Chip(275e12, 32 * _GIB, 1228e9, 300e9),
    "TPU v5 lite": _V5E,
    "TPU v5e": _V5E,
    "TPU v5": _V5P,
    "TPU v5p": _V5P,
    "TPU v6 lite": _V6E,
    "TPU v6e": _V6E,
    "NVIDIA A100-SXM4-40GB": Chip(312e12, 40e9, 1555e9, 300e9),
    "NVIDIA A100-SXM4-80GB": Chip(312e12, 80e9, 2039e9, 300e9),
    "NVIDIA A100-PCIE-40GB": Chip(312e12, 40e9, 1555e9, 32e9),
    "NVIDIA A100 80GB PCIe": Chip(312e12, 80e9, 1935e9, 32e9),
    "NVIDIA H100 80GB HBM3": Chip(989.4e12, 80e9, 3350e9, 450e9),
    "NVIDIA H100 PCIe": Chip(756e12, 80e9, 2000e9, 64e9),
    "NVIDIA H200": Chip(989.4e12, 141e9, 4800e9, 450e9),
    "NVIDIA GH200 480GB": Chip(989.4e12, 96e9, 4000e9),
    "NVIDIA L4": Chip(121e12, 24e9, 300e9, 32e9),
    "NVIDIA L40S": Chip(362e12, 48e9, 864e9, 32e9),
}


def find_chip(device_kind: str) -> Chip | None:
    """What a device can do; None if it is not in the table.

    Args:
      device_kind: As JAX calls it.
    """
    return _CHIPS.get(device_kind)
