"""What calls cost, and the limit that they must not pass."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.errors import RefusedError
from rlaif_jax.labeling.endpoint import endpoint_host, is_loopback
from rlaif_jax.labeling.tokens import most_prompt_tokens
from rlaif_jax.records import Message, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """US dollars per million tokens."""

    input_usd: float
    output_usd: float

    def cost_usd(self, usage: Usage) -> float:
        """What a call with that usage is billed."""
        return (
            usage.prompt_tokens * self.input_usd
            + usage.completion_tokens * self.output_usd
        ) * 1e-6

    def at_most_usd(self, messages: Sequence[Message], max_tokens: int) -> float:
        """What a call can be billed at most."""
        most = most_prompt_tokens(messages)
        return (most * self.input_usd + max_tokens * self.output_usd) * 1e-6

    def times(self, share: float) -> "Prices":
        """That share of these prices."""
        return Prices(
            input_usd=self.input_usd * share, output_usd=self.output_usd * share
        )


def endpoint_prices(config: EndpointConfig, budget_usd: float | None) -> Prices:
    """The prices of an endpoint.

    A server on this machine sends no bill, so it needs no prices unless a budget is
    to be kept.

    Raises:
      RefusedError: If a price is unknown.
    """
    input_usd = config.usd_per_million_input_tokens
    output_usd = config.usd_per_million_output_tokens if config.bills_answers else 0.0
    if input_usd is not None and output_usd is not None:
        return Prices(input_usd=input_usd, output_usd=output_usd)
    if budget_usd is None and is_loopback(config.base_url):
        return Prices(input_usd=input_usd or 0.0, output_usd=output_usd or 0.0)
    wanted = "usd_per_million_input_tokens"
    if config.bills_answers:
        wanted += " and usd_per_million_output_tokens"
    raise RefusedError(
        f"the price of {config.model!r} at {endpoint_host(config.base_url)} is unknown:"
        f" set {wanted}"
    )


def budget_reached(spent_usd: float, limit_usd: float, need_usd: float) -> RefusedError:
    """The error of a run whose next call might pass its limit."""
    return RefusedError(
        f"budget reached: ${spent_usd:.6f} of ${limit_usd:.6f} spent, and the next"
        f" call may cost ${need_usd:.6f}; raise budget_usd to go on"
    )


class Budget:
    """Reserves the most that a call can cost before it, and settles after it.

    What is spent, what may have been billed without an answer, and what is reserved
    never exceed the limit together.

    Attributes:
      spent_usd: Settled so far, by earlier runs too.
    """

    def __init__(self, *, limit_usd: float | None, spent_usd: float = 0.0):
        self.spent_usd = spent_usd
        self._limit_usd = limit_usd
        self._reserved_usd = 0.0
        self._num_reserved = 0
        self._settled = asyncio.Event()

    @property
    def reserved_usd(self) -> float:
        """Set aside for calls under way."""
        return self._reserved_usd

    async def reserve(self, at_most_usd: float) -> None:
        """Sets money aside; waits for calls under way if it might be enough then.

        Raises:
          RefusedError: If the call could pass the limit whatever the others cost.
        """
        while not self.try_reserve(at_most_usd):
            self._short_of(at_most_usd)
            self._settled.clear()
            await self._settled.wait()

    def try_reserve(self, at_most_usd: float) -> bool:
        """Sets money aside if it is there now, and says if it did."""
        if not self._fits(at_most_usd):
            return False
        self._reserved_usd += at_most_usd
        self._num_reserved += 1
        return True

    def reopen(self, at_most_usd: float) -> None:
        """Reserves again what an earlier run's call without a result was booked at."""
        self.spent_usd -= at_most_usd
        self._reserved_usd += at_most_usd
        self._num_reserved += 1

    def settle(self, at_most_usd: float, cost_usd: float) -> None:
        """Gives back a reservation and books what the call has cost."""
        self.spent_usd += cost_usd
        self._num_reserved -= 1
        # a sum of floats does not return to zero by subtraction
        remaining = self._reserved_usd - at_most_usd
        self._reserved_usd = remaining if self._num_reserved else 0.0
        self._settled.set()

    def _short_of(self, at_most_usd: float) -> None:
        """Raises `RefusedError` if no waiting can make room for that call."""
        if not self._num_reserved:
            raise budget_reached(self.spent_usd, self._limit_usd or 0.0, at_most_usd)

    def _fits(self, at_most_usd: float) -> bool:
        """Whether one more call stays within the limit."""
        if self._limit_usd is None:
            return True
        return self.spent_usd + self._reserved_usd + at_most_usd <= self._limit_usd
