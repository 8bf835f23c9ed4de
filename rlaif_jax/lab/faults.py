"""What goes wrong on demand, for whoever tries a caller of the server."""

from typing import Literal

from rlaif_jax.config_parts import FaultsConfig
from rlaif_jax.lab.draws import uniform

Fault = Literal["rate_limited", "server_error", "html", "truncated", "dropped"]


def fault_at(faults: FaultsConfig, number: int) -> Fault | None:
    """The fault of the server's request of this number, if it meets one."""
    shares: dict[Fault, float] = {
        "rate_limited": faults.rate_limited,
        "server_error": faults.server_error,
        "html": faults.html,
        "truncated": faults.truncated,
        "dropped": faults.dropped,
    }
    place = uniform("fault", faults.seed, number)
    for fault, share in shares.items():
        if place < share:
            return fault
        place -= share
    return None
