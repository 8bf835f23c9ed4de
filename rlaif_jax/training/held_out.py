"""What a run on preferences does not train on, and what is left to train on."""

from dataclasses import dataclass
from pathlib import Path

from rlaif_jax.config_validation import PairValidationConfig
from rlaif_jax.data.held_out import LaterShards, UnseenPrompts, prompt_key
from rlaif_jax.data.order import Source
from rlaif_jax.errors import UsageError
from rlaif_jax.records import Preference
from rlaif_jax.training.plan import ValidationSet
from rlaif_jax.training.step import LossFn
from rlaif_jax.training.streaming import preference_source
from rlaif_jax.typing import Json


@dataclass(frozen=True)
class HeldOut:
    """Preferences that are not trained on.

    Attributes:
      config: Where they are from, and when they are looked at.
      records: All of them.
      training: The rest, without the prompts of these.
      fingerprint: Of these: a resumed run must find the same.
    """

    config: PairValidationConfig
    records: tuple[Preference, ...]
    training: UnseenPrompts
    fingerprint: str

    def validation(self, loss_fn: LossFn) -> ValidationSet:
        """What training is told of them.

        Args:
          loss_fn: As `ValidationSet` says.
        """
        place = {"preferences", "shards"}
        return ValidationSet(
            records=self.records,
            loss_fn=loss_fn,
            config=self.config,
            select=self.config.select,
            data=self.config.model_dump(mode="json", include=place),
        )

    def to_json(self) -> Json:
        """How many there are, and how many others are not trained on for them."""
        return {
            "pairs": len(self.records),
            "shared_prompts_dropped": self.training.num_dropped,
        }

    @property
    def told(self) -> str:
        """The same in words."""
        dropped = self.training.num_dropped
        others = f"; {dropped} others share their prompts: left out" if dropped else ""
        return f"{len(self.records)} pairs for validation{others}"


def hold_out(
    asked: PairValidationConfig | None, preferences: Path, source: Source[Preference]
) -> HeldOut | None:
    """Splits a run's preferences, or reads a folder beside them.

    Waits until the shards that are held out are sealed: training needs later ones.

    Args:
      asked: What to hold out.
      preferences: The folder that the run trains on.
      source: Of that folder, finished or growing.

    Returns:
      None if nothing is to be held out.

    Raises:
      UsageError: If there are none, or of the test split, or nothing is left to train
        on, or labeling still writes to another folder that is asked for.
      PreemptedError: If labeling does not go on.
    """
    if asked is None:
        return None
    place, num_shards = source, asked.held_out_shards
    if asked.preferences is not None:
        place = _finished(asked.preferences)
        num_shards = place.num_shards()[0]
    while place.num_shards()[0] < num_shards and not place.num_shards()[1]:
        place.wait()
    later = LaterShards(source, skipped=asked.held_out_shards)
    records = tuple(row for shard in range(num_shards) for row in place.rows(shard))
    _require_honest(records, asked.preferences or preferences)
    seen = {prompt_key(record.prompt) for record in records}
    training = UnseenPrompts(later, seen=seen)
    return HeldOut(asked, records, training, place.prefix_hash(num_shards))


def _finished(folder: Path) -> Source[Preference]:
    """The preferences of a folder that does not grow."""
    source = preference_source(folder, wait_s=0.0)
    if not source.num_shards()[1]:
        raise UsageError(
            f"labeling still writes to {folder}: wait for it, or hold out"
            " validation.shards of the run's own preferences, which may grow"
        )
    return source


def _require_honest(records: tuple[Preference, ...], folder: Path) -> None:
    """Refuses what nothing can be learned from, or what is for `evaluate` alone."""
    if not records:
        raise UsageError(f"{folder} has no pairs to validate on: hold out more shards")
    if any(record.split == "test" for record in records):
        raise UsageError(
            f"{folder} has pairs of the test split among those to validate on: a model"
            " that is chosen on it looks better there than it is; label other splits"
        )
