"""What a study's labels say about the critics that gave them."""

from typing import Annotated

from pydantic import Field

from rlaif_jax.records import Record

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Rate(Record):
    """A share from 0 to 1 with its 95 % interval."""

    value: Finite
    low: Finite
    high: Finite
    n: int  # comparisons or calls that it was counted over


class LabelAudit(Record):
    """All labels, over seeds, that the same arms were trained on.

    Attributes:
      arms: That were.
      critics: Who gave them.
      comparisons: That were labeled.
      verdicts: first, second, tie and failed: how many; they sum to comparisons.
      identical: Those of the ties whose texts are equal: nobody was asked.
      rates: By the names that `audit` gives them; what is not known is not there.
      agreement: With the labels of another arm, where the comparisons are the same.
    """

    arms: tuple[str, ...]
    critics: tuple[str, ...]
    comparisons: int
    verdicts: dict[str, int]
    identical: int
    rates: dict[str, Rate] = Field(default_factory=dict)
    agreement: dict[str, Rate] = Field(default_factory=dict)

    def share(self, verdict: str) -> float:
        """Of all comparisons, those that ended so."""
        return self.verdicts.get(verdict, 0) / max(self.comparisons, 1)
