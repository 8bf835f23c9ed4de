"""The most that an accelerator can compute, as its maker says."""

# FLOP/s of dense bfloat16 products of what JAX calls one device, by `device_kind`.
# Google: cloud.google.com/tpu/docs; chips of v2 and v3 are two devices. NVIDIA: the
# data sheets, whose figures with sparsity are halved here.
_PEAKS = {
    "TPU v2": 22.5e12,
    "TPU v3": 61.5e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989.4e12,
    "NVIDIA GH200 480GB": 989.4e12,
    "NVIDIA L4": 121e12,
    "NVIDIA L40S": 362e12,
}


def peak_flops(device_kind: str) -> float | None:
    """FLOP/s of dense bfloat16 products; None if the device is not in the table.

    Args:
      device_kind: As JAX calls it.
    """
    return _PEAKS.get(device_kind)
