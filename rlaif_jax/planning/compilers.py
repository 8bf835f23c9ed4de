"""What compilers do differently, as far as a model of memory has to know."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Compiler:
    """What compilers do differently, by platform.

    Attributes:
      copies_statistics: Whether a statistic is copied before the update, as two loops
        read it, one of which overwrites it. Others make one loop of both.
      writes_rounding: Whether all that stochastic rounding reads is there as arrays,
        and not computed where it is read: `update_memory` tells which.
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
