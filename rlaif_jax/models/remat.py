"""What a layer's forward pass keeps for its backward: rematerialization, by name.

Values are named where they are made; a policy says which names are kept. All else is
computed again from the layer's input (Chen et al. 2016, arXiv:1604.06174).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from rlaif_jax.errors import UsageError

LAYER_INPUT = "layer_input"  # the residual stream before a layer
PROJECTION = "projection"  # the result of a linear map
ATTENTION = "attention"  # what queries have read, and their softmax denominators


@dataclass(frozen=True)
class Remat:
    """One choice of what is kept between a layer's forward and its backward.

    Attributes:
      keeps: Names of the values that stay on the device, besides a layer's input.
      moves: Names of the values that wait in the host's pinned memory.
      platforms: Where that works.
    """

    keeps: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ("cpu", "gpu", "tpu")

    def policy(self) -> Callable[..., Any]:
        """The same for `jax.checkpoint`."""
        policies = jax.checkpoint_policies
        if not self.moves:
            return policies.save_only_these_names(*self.keeps)
        return policies.save_and_offload_only_these_names(
            names_which_can_be_saved=list(self.keeps),
            names_which_can_be_offloaded=list(self.moves),
            offload_src="device",
            offload_dst="pinned_host",
        )


# From the most memory and no work twice, to the least memory.
REMATS: dict[str, Remat | None] = {
    "none": None,
    "dots": Remat(keeps=(PROJECTION, ATTENTION)),
    "attention": Remat(keeps=(ATTENTION,)),
    "full": Remat(),
    # a CPU has no second memory to move to
    "offload": Remat(moves=(LAYER_INPUT,), platforms=("gpu", "tpu")),
}


def rematerialized(body: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A layer that keeps what a policy says.

    Args:
      body: The layer, as the body of a scan that is not unrolled: two loops need no
        barrier, and in one program a compiler sees that it has computed the same
        before, or does it again too early to save memory.
      name: One of `REMATS`.
    """
    remat = REMATS[name]
    if remat is None:
        return body
    return jax.checkpoint(body, policy=remat.policy(), prevent_cse=False)


def require(name: str, *, platform: str, attention: str) -> None:
    """Refuses a policy that would have no effect.

    Args:
      name: One of `REMATS`.
      platform: Where the model is trained: cpu, gpu or tpu.
      attention: The backend, one of `attending.support`.

    Raises:
      UsageError: With the policies that have one.
    """
    remat = REMATS[name]
    if remat is not None and platform not in remat.platforms:
        raise UsageError(
            f"remat={name} moves values to the host's memory, and on {platform} there"
            " is no other memory: use remat=full, which keeps as little"
        )
    if name == "attention" and attention == "cudnn":
        raise UsageError(
            "remat=attention keeps what attention has read, and attention=cudnn"
            " computes it again nevertheless: use remat=full, remat=dots or"
            " attention=xla"
        )
