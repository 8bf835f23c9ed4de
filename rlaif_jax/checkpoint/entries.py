"""One parameter and the Hugging Face tensors that hold it, as data."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Path = tuple[str, ...]  # keys from the root of the parameters to an array
Shape = tuple[int, ...]
Bounds = tuple[tuple[int, int], ...]  # start and stop in each dimension

_STRIP = 16  # rows, few enough for a cache


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A place among several parameters that share one tensor."""

    axis: int  # of the parameter, where the axis over the parts is put in
    index: int
    count: int


@dataclasses.dataclass(frozen=True)
class Entry:
    """One parameter and its tensors.

    Hugging Face keeps a linear layer's weight as [outputs, inputs], each flattened;
    ours has one dimension per logical axis, inputs first.

    Attributes:
      path: Where the parameter is.
      name: The tensor's; "{layer}" and "{expert}" stand for numbers.
      num_inputs: Leading dimensions that are inputs. With 0 the tensor has one
        dimension, as of a bias; with None it has the parameter's, as of an embedding.
      is_transposed: Whether the tensor has outputs first; else inputs.
      part: Its share of the tensor, if others have one too.
    """

    path: Path
    name: str
    num_inputs: int | None = None
    is_transposed: bool = True
    part: Part | None = None

    @property
    def num_stacked(self) -> int:
        """Leading axes of the parameter along which there is one tensor each."""
        return ("{layer}" in self.name) + ("{expert}" in self.name)

    def name_at(self, index: tuple[int, ...]) -> str:
        """The tensor's name at a place of the stacked axes."""
        names = [n for n in ("layer", "expert") if f"{{{n}}}" in self.name]
        return self.name.format(**dict(zip(names, index, strict=True)))

    def tensor_shape(self, shape: Shape) -> Shape:
        """The tensor's shape, from the parameter's without its stacked axes."""
        whole = self._whole(shape)
        if self.num_inputs is None:
            return whole
        inputs, outputs = whole[: self.num_inputs], whole[self.num_inputs :]
        if not inputs:
            return (math.prod(outputs),)
        ends = (math.prod(outputs), math.prod(inputs))
        return ends if self.is_transposed else ends[::-1]

    def region(self, bounds: Bounds, shape: Shape) -> "Region":
        """Which rectangle of the tensor holds a block of the parameter.

        Args:
          bounds: Start and stop of the block in each dimension.
          shape: The parameter's, without its stacked axes.
        """
        sizes = self._whole(shape)
        if self.part is not None:
            axis, index = self.part.axis, self.part.index
            bounds = (*bounds[:axis], (index, index + 1), *bounds[axis:])
        covers, slices = [], []
        for start, stop in self._groups(len(sizes)):
            cover, piece = _contiguous(bounds[start:stop], sizes[start:stop])
            covers += cover
            slices.append(piece)
        if self.is_transposed and self.num_inputs:
            slices.reverse()
        return Region(tuple(slices), tuple(covers), bounds)

    def to_ours(self, tensor: np.ndarray, region: "Region") -> np.ndarray:
        """A block of the parameter, from that rectangle of the tensor."""
        if self.num_inputs and self.is_transposed:
            tensor = _transposed(tensor)
        covered = tensor.reshape([stop - start for start, stop in region.cover])
        block = covered[
            tuple(
                slice(start - first, stop - first)
                for (start, stop), (first, _) in zip(
                    region.bounds, region.cover, strict=True
                )
            )
        ]
        return block if self.part is None else block.squeeze(self.part.axis)

    def to_theirs(self, array: np.ndarray) -> np.ndarray:
        """The tensor of a whole parameter, or its share of one with several parts.

        A share has the axis over the parts, of length 1, as dimension 1: `joined`
        makes a tensor of all of them.
        """
        if self.part is not None:
            lead = math.prod(array.shape[: self.part.axis])
            return array.reshape(lead, 1, array.size // lead)
        return self._flattened(array, array.shape)

    def joined(self, shares: Sequence[np.ndarray], shape: Shape) -> np.ndarray:
        """The tensor that several parameters share.

        Args:
          shares: What `to_theirs` made of each, in the order of the parts.
          shape: This parameter's.
        """
        return self._flattened(np.concatenate(shares, axis=1), shape)

    def _flattened(self, whole: np.ndarray, shape: Shape) -> np.ndarray:
        """The tensor with the elements of all parts, inputs first."""
        theirs = self.tensor_shape(shape)
        if self.num_inputs and self.is_transposed:
            return whole.reshape(theirs[::-1]).T
        return whole.reshape(theirs)

    def _whole(self, shape: Shape) -> Shape:
        """The parameter's shape with the axis over the parts."""
        if self.part is None:
            return shape
        return (*shape[: self.part.axis], self.part.count, *shape[self.part.axis :])

    def _groups(self, num_dims: int) -> list[tuple[int, int]]:
        """Which of our dimensions make up each of the tensor's."""
        if self.num_inputs is None:
            return [(i, i + 1) for i in range(num_dims)]
        middle = self.num_inputs
        return [(0, middle), (middle, num_dims)] if middle else [(0, num_dims)]


class Region(NamedTuple):
    """A rectangle of a tensor, and the block of a parameter inside it."""

    slices: tuple[slice, ...]  # of the tensor
    cover: Bounds  # what they hold, in the parameter's dimensions and the parts'
    bounds: Bounds  # what of it was asked for


def _contiguous(bounds: Bounds, sizes: Shape) -> tuple[Bounds, slice]:
    """The shortest run of flattened dimensions that holds a block of them.

    Dimensions after the first that is not a single index must be taken whole.
    """
    cover = list(bounds)
    widen = False
    for i, (start, stop) in enumerate(bounds):
        if widen:
            cover[i] = (0, sizes[i])
        widen = widen or stop - start != 1
    first = sum(start * math.prod(sizes[i + 1 :]) for i, (start, _) in enumerate(cover))
    length = math.prod(stop - start for start, stop in cover)
    return tuple(cover), slice(first, first + length)


def _transposed(matrix: np.ndarray) -> np.ndarray:
    """The transpose in memory order; by strips, for NumPy alone takes 5x as long."""
    result = np.empty(matrix.shape[::-1], matrix.dtype)
    for start in range(0, len(matrix), _STRIP):
        result[:, start : start + _STRIP] = matrix[start : start + _STRIP].T
    return result
