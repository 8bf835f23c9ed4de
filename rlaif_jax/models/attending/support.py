"""What each attention backend can do, and where: the matrix, as data."""

from collections.abc import Set
from dataclasses import dataclass, field

from rlaif_jax.errors import UsageError

FEATURES = {
    "window": "a sliding window",
    "softcap": "a soft cap of the scores",
    "grouped": "grouped query heads",
    "float32": "compute_dtype float32",
    "wide_heads": "heads of this width",  # over 128, or no multiple of 8
    "padding": "rows padded on the right",
    "left_padding": "rows padded on the left",
    "packed": "several texts in a row",
    "shared_prefix": "pairs that share their prompt",
    "cache": "decoding with a cache",
    "sequence": "rows split over devices",
}
PLATFORMS = ("cpu", "gpu", "tpu")


@dataclass(frozen=True)
class Backend:
    """One way to compute attention.

    Attributes:
      platforms: Where it runs.
      can: The features that it has.
      cannot_join: Pairs of them that it has singly, but not together.
    """

    platforms: tuple[str, ...]
    can: frozenset[str]
    cannot_join: tuple[frozenset[str], ...] = field(default=())


_ALL = frozenset(FEATURES)
BACKENDS = {
    "xla": Backend(PLATFORMS, _ALL),
    "blocks": Backend(("cpu", "gpu"), _ALL - {"cache"}),
    "cudnn": Backend(("gpu",), frozenset({"window", "grouped", "padding"})),
    "splash": Backend(
        ("tpu",), _ALL - {"cache"}, (frozenset({"window", "shared_prefix"}),)
    ),
}

# What "auto" tries. Rows of several texts leave most of the scores unused, and only a
# backend that skips those is worth packing for.
_ORDER = {
    "cpu": ("xla", "blocks"),
    "gpu": ("cudnn", "xla", "blocks"),
    "tpu": ("splash", "xla"),
}
_ORDER_OF_SEVERAL = {
    "cpu": ("blocks", "xla"),
    "gpu": ("blocks", "xla"),
    "tpu": ("splash", "xla"),
}
_SEVERAL = frozenset({"packed", "shared_prefix"})


def choose(wanted: str, needs: Set[str], platform: str) -> str:
    """The backend to use.

    Args:
      wanted: A name in `BACKENDS`, or auto: the first of the platform's order of
        preference that has all of `needs`.
      needs: Features of the model and of the command's rows.
      platform: One of `PLATFORMS`.

    Raises:
      UsageError: If the wanted one cannot; the message says which can.
    """
    if platform not in PLATFORMS:
        raise UsageError(f"platform {platform!r} is not one of {', '.join(PLATFORMS)}")
    if wanted == "auto":
        order = _ORDER_OF_SEVERAL if needs & _SEVERAL else _ORDER
        return next(name for name in order[platform] if not _lacks(name, needs))
    if platform not in BACKENDS[wanted].platforms:
        there = " and ".join(BACKENDS[wanted].platforms)
        raise UsageError(
            f"attention={wanted} runs on {there}, and this is {platform}:"
            f" use {_alternatives(needs, platform)}"
        )
    require(wanted, needs, platform)
    return wanted


def require(name: str, needs: Set[str], platform: str | None = None) -> None:
    """Refuses a backend that lacks a feature.

    Args:
      name: The backend's.
      needs: The features.
      platform: Where the alternatives must run; anywhere if None.

    Raises:
      UsageError: Naming the feature and the backends that have all of `needs`.
    """
    if lacking := _lacks(name, needs):
        raise UsageError(
            f"attention={name} cannot do {' with '.join(lacking)}:"
            f" use {_alternatives(needs, platform)}"
        )


def able(needs: Set[str], platform: str | None = None) -> list[str]:
    """The backends that have all features, on a platform or anywhere."""
    return [
        name
        for name, backend in BACKENDS.items()
        if platform in (None, *backend.platforms) and not _lacks(name, needs)
    ]


def _lacks(name: str, needs: Set[str]) -> list[str]:
    """What the backend cannot do, in words: one feature, or two that do not join."""
    backend = BACKENDS[name]
    for feature in FEATURES:
        if feature in needs and feature not in backend.can:
            return [FEATURES[feature]]
    for joined in backend.cannot_join:
        if joined <= needs:
            return [FEATURES[feature] for feature in FEATURES if feature in joined]
    return []


def _alternatives(needs: Set[str], platform: str | None) -> str:
    return " or ".join(f"attention={name}" for name in able(needs, platform))
