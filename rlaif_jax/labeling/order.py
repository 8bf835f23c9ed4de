"""Which completion is shown first."""

import random

from rlaif_jax.config_endpoints import Orders


def is_switched(instruction: str) -> bool:
    """Whether AlpacaEval would show this instruction's outputs in reverse.

    The draw depends on the instruction alone, as in `alpaca_eval` with seed 0, so
    that labels for training and for evaluation share it.
    """
    return random.Random(f"is_switched_outputs{instruction}0").random() >= 0.5


def shown_orders(orders: Orders, instruction: str) -> tuple[bool, ...]:
    """One flag for each call: whether that call shows the second completion first."""
    if orders == "both":
        return (False, True)
    return (is_switched(instruction),)
