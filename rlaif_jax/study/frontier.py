"""Which arms are worth their cost: those that no other arm beats in everything."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlaif_jax.study.results import StudyResults


class CostPoint(NamedTuple):
    """What one arm cost to make, and what came of it."""

    usd: float  # teacher and critic, all seeds
    device_s: float  # training and sampling
    win_rate: float  # percent


def cost_points(results: StudyResults) -> dict[str, CostPoint]:
    """Every arm's costs and win rate."""
    bills = results.bills()
    return {
        name: CostPoint(bills[name].making_usd, bills[name].total_device_s, rate.value)
        for name, rate in results.win_rates().items()
    }


def frontier(points: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """The arms that are not dominated, in their order.

    An arm is dominated if another costs no more in any respect, wins at least as
    much, and is better in one of these (Pareto). Estimates are taken at their value:
    an arm that is ahead by less than its interval may be so by luck.

    Args:
      points: Arm to its costs, as many as you like, and last its win rate.
    """
    return tuple(
        name
        for name, point in points.items()
        if not any(_dominates(other, point) for other in points.values())
    )


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    *costs_a, won_a = a
    *costs_b, won_b = b
    no_worse = won_a >= won_b and all(
        x <= y for x, y in zip(costs_a, costs_b, strict=True)
    )
    return no_worse and tuple(a) != tuple(b)
