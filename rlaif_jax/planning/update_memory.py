"""What an update takes beside the state, and what of it is there from the start.

Stochastic rounding reads 16 random bits a number, of the 64 that threefry makes of a
counter. For CPUs JAX lowers threefry to a loop over arrays, which no other loop can
take in, and XLA runs it as soon as it can: the counters depend on nothing but the
step's number, so the words of all numbers are there before the backward, until the
update reads them. The loop works with a second pair, of one array at a time. Where the
backward runs once a part, in a loop, words are made after that loop.

A moment in 8 bits is there in float32 first: each row's and column's largest must be
known before the first number is encoded, and XLA keeps all moments meanwhile.

Elsewhere threefry is a chain of operations on each number, part of the loop that
rounds, as is the moment, computed twice: nothing of both is an array.
"""

from dataclasses import dataclass
from typing import Any

import jax

from rlaif_jax.optim.moments import Codes
from rlaif_jax.optim.rounding import RoundedState
from rlaif_jax.planning.array_bytes import bytes_here, size_here, wide_bytes
from rlaif_jax.training.step import TrainState

_EXACT = 4  # bytes of a float32
_WORDS = 8  # bytes that threefry makes of a counter


@dataclass(frozen=True)
class Compiler:
    """What compilers do differently, by platform.

    Attributes:
      copies_statistics: Whether a statistic is copied before the update, as two loops
        read it, one of which overwrites it. Others make one loop of both.
      writes_rounding: Whether all that stochastic rounding reads is there as arrays,
        and not computed where it is read, as told above.
      widens: Whether the layers' weights of fewer bits are there in float32 too, for
        lack of products of less.
      transposes: Whether products read a transposed copy of a layer's largest kernel.
      overlaps: Whether exchanges go on meanwhile: gradients of a layer wait for being
        summed up among devices while others are computed. Else all is gathered first,
        the head's kernel before the layers.
      spreads_experts: Whether every expert multiplies all rows, for lack of a kernel.
      casts_ahead: Whether the layers' weights are cast before the loop over them, all
        at once and not layer by layer.
    """

    copies_statistics: bool = False
    writes_rounding: bool = False
    widens: bool = False
    transposes: bool = False
    overlaps: bool = True
    spreads_experts: bool = False
    casts_ahead: bool = True


COMPILERS = {
    "cpu": Compiler(
        copies_statistics=True,
        writes_rounding=True,
        widens=True,
        transposes=True,
        overlaps=False,
        spreads_experts=True,
        casts_ahead=False,
    ),
    "gpu": Compiler(),
    "tpu": Compiler(),
}


@dataclass(frozen=True)
class UpdateMemory:
    """Bytes of one device that an optimizer takes beside its state.

    Attributes:
      state: Shapes, with shardings.
      compiler: What makes the step.
      is_whole: Whether a batch has one part; gradients of more are sums in float32.
    """

    state: TrainState
    compiler: Compiler
    is_whole: bool

    @property
    def early(self) -> dict[str, int]:
        """What is there while layers run; if these are in a loop over parts, nothing.

        Copies of statistics, and random words.
        """
        if not self.is_whole:
            return {}
        return {"statistics": self._copied, "words": _WORDS * sum(self._rounded)}

    def phases(self, always: dict[str, int]) -> dict[str, dict[str, int]]:
        """Making random words, and the update.

        Words are made before the backward, or after the loop over all parts.

        Args:
          always: What is there in every phase before the update.
        """
        params = self.state.params
        exact = wide_bytes(params)
        begun = {
            "gradients": bytes_here(params) if self.is_whole else exact,
            "clipped": exact if self.compiler.copies_statistics else 0,
            "statistics": self._copied,
            "words": _WORDS * sum(self._rounded),
        }
        drawing = always if self.is_whole else begun
        other = _WORDS * max(self._rounded, default=0)
        moments = sum(map(size_here, self._codes)) * self.compiler.writes_rounding
        return {
            "random": drawing | {"other words": other},
            "update": begun | {"moments": _EXACT * moments},
        }

    @property
    def _copied(self) -> int:
        """Statistics as large as the weights that they are of."""
        if not self.compiler.copies_statistics:
            return 0
        shapes = {leaf.shape for leaf in jax.tree.leaves(self.state.params)}
        leaves = jax.tree.leaves(self.state.opt_state)
        return sum(bytes_here(leaf) for leaf in leaves if leaf.shape in shapes)

    @property
    def _rounded(self) -> list[int]:
        """Numbers of each array that is rounded, where that takes memory."""
        if not self.compiler.writes_rounding:
            return []
        leaves = self._codes
        if isinstance(self.state.opt_state, RoundedState):
            leaves = leaves + jax.tree.leaves(self.state.params)
        return [size_here(leaf) for leaf in leaves]

    @property
    def _codes(self) -> list[Any]:
        """Those of moments in 8 bits."""
        found = jax.tree.leaves(self.state.opt_state, is_leaf=_is_coded)
        return [one.codes for one in found if _is_coded(one)]


def _is_coded(one: Any) -> bool:
    return isinstance(one, Codes)
