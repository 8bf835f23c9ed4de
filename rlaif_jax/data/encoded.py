"""Items as ids that know what limits did to them."""

from collections.abc import Sequence
from typing import NamedTuple

from rlaif_jax.data.packing import Example, Ids, Pair


class Fate(NamedTuple):
    """What became of an item's texts on their way to ids.

    Attributes:
      truncated: Whether the prompt, and then each completion, was too long for `tokens`
        of the config.
      ended: Whether each completion has its end token.
    """

    truncated: tuple[bool, ...]
    ended: tuple[bool, ...]


def highest_id(item: Sequence[Ids]) -> int:
    """The largest of an item's ids."""
    return max(max(part, default=0) for part in item)


class EncodedExample(Example):
    """An example that came from texts.

    Attributes:
      fate: Of its prompt and completion.
      highest: Of its ids, which are read once for it.
    """

    fate: Fate
    highest: int

    @classmethod
    def create(cls, example: Example, fate: Fate) -> "EncodedExample":
        """The example with what is known of it."""
        encoded = cls._make(example)
        encoded.fate = fate
        encoded.highest = highest_id(example)
        return encoded


class EncodedPair(Pair):
    """A pair that came from texts.

    Attributes:
      fate: Of its prompt, chosen and rejected completion.
      highest: Of its ids, which are read once for it.
    """

    fate: Fate
    highest: int

    @classmethod
    def create(cls, pair: Pair, fate: Fate) -> "EncodedPair":
        """The pair with what is known of it."""
        encoded = cls._make(pair)
        encoded.fate = fate
        encoded.highest = highest_id(pair)
        return encoded
