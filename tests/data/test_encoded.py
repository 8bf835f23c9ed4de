"""Tests of `rlaif_jax.data.encoded`."""

from rlaif_jax.data.encoded import EncodedExample, EncodedPair, Fate
from rlaif_jax.data.packing import Example, Pair


def test_what_is_known_of_an_item_does_not_change_its_ids():
    pair, fate = Pair([4], [5], [6]), Fate((True, False, False), (True, False))
    encoded = EncodedPair.create(pair, fate)
    assert encoded == pair
    assert list(encoded) == [[4], [5], [6]]
    assert encoded.fate == fate
    example = Example([4], [5])
    fate = Fate((False, False), (True,))
    assert EncodedExample.create(example, fate) == example
