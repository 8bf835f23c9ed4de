"""Where each logical array axis lives on the device mesh.

The only module that knows both vocabularies. Models name the axes of their arrays
("embed", "kv_heads", ...); `mesh` names those of the devices ("data", "fsdp", ...);
the rules below join the two, so a new sharding strategy is an edit of one table.
"""

from collections.abc import Mapping
from itertools import chain

from jax.sharding import PartitionSpec

Rules = Mapping[str, tuple[str, ...]]  # () is replicated

FSDP_TENSOR: Rules = {
    # activations
    "batch": ("data", "fsdp"),
    "seq": ("sequence",),
    # weights
    "layers": (),
    "embed": ("fsdp", "sequence"),
    "kv_heads": ("tensor",),
    "q_groups": (),
    "head_dim": (),
    "ffw": ("tensor",),
    "vocab": ("tensor",),
    "experts": ("expert",),
    "lora": (),
    "positions": (),
}


def partition_spec(logical_axes: tuple[str | None, ...], rules: Rules) -> PartitionSpec:
    """Translates logical axis names into a spec over mesh axes.

    Args:
      logical_axes: One name per array dimension; None leaves it replicated.
      rules: Mesh axes of each logical axis.

    Returns:
      The spec, one entry per dimension.

    Raises:
      KeyError: If a name has no rule: a typo must not mean "replicated".
      ValueError: If two dimensions claim the same mesh axis.
    """
    spec = [() if name is None else rules[name] for name in logical_axes]
    mesh_axes = list(chain.from_iterable(spec))
    if len(mesh_axes) != len(set(mesh_axes)):
        raise ValueError(f"{logical_axes} puts two dimensions on one mesh axis: {spec}")
    return PartitionSpec(*(axes or None for axes in spec))
