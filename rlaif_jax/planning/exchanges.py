"""What the devices of a mesh must send each other in a step, by formula.

Of n devices each sends (n - 1) / n of an array that is gathered, or scattered after a
sum, and twice that of a sum which all keep.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from rlaif_jax.sharding.rules import FSDP_TENSOR

GATHERED = FSDP_TENSOR["embed"]  # the axes along which weights are


class Links(NamedTuple):
    """How fast devices send.

    Attributes:
      near: Bytes/s to devices of the same host; None if that is not known.
      far: Bytes/s of one device to other hosts; None if that is not known.
      host: Devices of a host; None if all are linked alike, as in a slice of TPUs.
    """

    near: float | None
    far: float | None = None
    host: int | None = None


class Exchange(NamedTuple):
    """Devices along some mesh axes exchanging arrays.

    Attributes:
      kind: As XLA calls it.
      axes: Of the mesh, along which.
      sent: Bytes that each device sends in a step.
      times: How often.
    """

    kind: str
    axes: tuple[str, ...]
    sent: int
    times: int


class Traffic(NamedTuple):
    """The arrays of a step that cross between devices.

    Attributes:
      weights: Bytes of a device's weights in compute_dtype, whole along fsdp.
      stream: Bytes of its part of the residual stream.
      layers: Of the model.
      is_mixture: Whether MLPs are experts, whose results are summed at the end.
    """

    weights: int
    stream: int
    layers: int
    is_mixture: bool

    def passes(
        self, mesh: Mapping[str, int], *, gathers: int, streams: int
    ) -> list[Exchange]:
        """What passes through the layers make devices send.

        Args:
          mesh: Devices along each axis.
          gathers: Times that weights are gathered along fsdp.
          streams: Passes of the residual stream, forward or backward: each sums up
            what attention adds, and what the MLP does, over those that share heads,
            inner width or experts.
        """
        gathered = _exchange("all-gather", mesh, GATHERED, self.weights, gathers)
        sums = streams * self.layers
        inner = ("tensor", "expert") if self.is_mixture else ("tensor",)
        attention = _exchange("all-reduce", mesh, ("tensor",), self.stream, sums)
        mlp = _exchange("all-reduce", mesh, inner, self.stream, sums)
        return [one for one in (gathered, attention, mlp) if one.sent]

    def gradients(self, mesh: Mapping[str, int], *, parts: int) -> list[Exchange]:
        """What summing up gradients makes them send, of each part of a batch."""
        kept = self.weights // math.prod(mesh.get(axis, 1) for axis in GATHERED)
        scattered = _exchange("reduce-scatter", mesh, GATHERED, self.weights, parts)
        summed = _exchange("all-reduce", mesh, ("data",), kept, parts)
        return [one for one in (scattered, summed) if one.sent]


def link_seconds(
    exchanges: list[Exchange], mesh: Mapping[str, int], links: Links
) -> float | None:
    """The time of all, one after the other; None if a rate that it needs is not known.

    Devices follow each other along the mesh's last axis first, host after host. A group
    within a host has its links. Of a group over several, those on one host send to the
    others side by side, and none faster than within.

    Args:
      exchanges: Of a step.
      mesh: Devices along each axis, in order.
      links: Their rates.
    """
    total = 0.0
    for one in exchanges:
        rate = _rate(one.axes, mesh, links)
        if rate is None:
            return None
        total += one.sent / rate
    return total


def _rate(axes: tuple[str, ...], mesh: Mapping[str, int], links: Links) -> float | None:
    """Bytes/s at which a device sends along some axes."""
    names = list(mesh)
    places = [names.index(axis) for axis in axes if mesh.get(axis, 1) > 1]
    sizes = list(mesh.values())
    extent = math.prod(sizes[min(places) :])
    if links.host is None or extent <= links.host or links.near is None:
        return links.near
    if links.far is None:
        return None
    stride = math.prod(sizes[max(places) + 1 :])
    together = max(1, links.host // stride)
    return min(links.near, together * links.far)


def _exchange(
    kind: str, mesh: Mapping[str, int], axes: tuple[str, ...], size: int, times: int
) -> Exchange:
    """An exchange of an array, so often; of nothing among one device."""
    group = math.prod(mesh.get(axis, 1) for axis in axes)
    rounds = 2 if kind == "all-reduce" else 1
    sent = rounds * size * (group - 1) // group
    return Exchange(kind, axes, sent * times, times)
