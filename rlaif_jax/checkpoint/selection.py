"""Which of a run's checkpoints is its model, where the run has chosen among them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.typing import Json

NAME = "best.json"


@dataclass(frozen=True)
class Candidate:
    """One evaluated step.

    Attributes:
      step: Updates done.
      epoch: Passes over the training data that were complete.
      score: What it is judged by.
    """

    step: int
    epoch: int
    score: float


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The steps that a run has chosen from, in their order.

    Attributes:
      by: What the score is.
      data: What it was measured on: a word for each part, as in the run's config.
      num_items: Examples or pairs there.
      candidates: At least one.
    """

    by: Literal["loss", "accuracy"]
    data: dict[str, Any]
    num_items: int
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        """The lowest loss or the highest accuracy; the first one of equals."""
        choose = min if self.by == "loss" else max  # both give the first of equals
        return choose(self.candidates, key=lambda one: one.score)

    @property
    def told(self) -> str:
        """The choice, in words."""
        best = self.best
        return (
            f"step {best.step}, the best of {len(self.candidates)} by {self.by} on"
            f" validation ({best.score:.4g})"
        )

    def to_json(self) -> Json:
        """The choice, and what it was made from."""
        best = self.best
        return {
            "by": self.by,
            "chosen_on": "validation",
            "data": self.data,
            "num_items": self.num_items,
            "step": best.step,
            "epoch": best.epoch,
            "score": best.score,
            "told": self.told,
            "num_candidates": len(self.candidates),
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }

    def write(self, folder: Path) -> None:
        """Makes the best step the model of a folder."""
        write_json(folder / NAME, self.to_json())


def read_selection(folder: Path) -> Selection | None:
    """What a folder's run has chosen; None if it did not choose, or has not ended.

    Raises:
      CorruptDataError: If the file does not say.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    document: Json = read_json(path, "selection")
    try:
        selection = Selection(
            by=document["by"],
            data=document["data"],
            num_items=document["num_items"],
            candidates=tuple(Candidate(**one) for one in document["candidates"]),
        )
        chosen = selection.best.step
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptDataError(f"{path} is not a selection: {error!r}") from error
    if chosen != document.get("step"):
        raise CorruptDataError(
            f"{path} names step {document.get('step')}, and the best is {chosen}"
        )
    return selection
