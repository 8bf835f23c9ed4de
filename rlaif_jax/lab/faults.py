"""What goes wrong on demand, for tests of whoever calls the server."""

from dataclasses import dataclass
from typing import Literal

from rlaif_jax.errors import UsageError
from rlaif_jax.lab.draws import uniform

Fault = Literal["rate_limited", "server_error", "html", "truncated", "dropped"]


@dataclass(frozen=True, kw_only=True)
class Faults:
    """The share of requests that meets each fault; together at most 1."""

    rate_limited: float = 0.0  # 429 with Retry-After
    server_error: float = 0.0  # 500
    html: float = 0.0  # status 200, but a web page
    truncated: float = 0.0  # status 200, but half the JSON
    dropped: float = 0.0  # the connection is cut without a response
    retry_after_s: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses shares that are none."""
        shares = self._shares().values()
        if min(shares) < 0 or sum(shares) > 1:
            raise UsageError(f"shares of faults are in [0, 1], as is their sum: {self}")

    def at(self, number: int) -> Fault | None:
        """The fault of the server's request of this number, if it meets one."""
        place = uniform("fault", self.seed, number)
        for fault, share in self._shares().items():
            if place < share:
                return fault
            place -= share
        return None

    def _shares(self) -> dict[Fault, float]:
        return {
            "rate_limited": self.rate_limited,
            "server_error": self.server_error,
            "html": self.html,
            "truncated": self.truncated,
            "dropped": self.dropped,
        }
