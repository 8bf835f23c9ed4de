"""Tests of `rlaif_jax.models.mistral`."""

from rlaif_jax.models.mistral import MISTRAL_7B


def test_the_first_release_has_a_window_and_grouped_heads():
    assert MISTRAL_7B.sliding_window == 4096
    assert (MISTRAL_7B.num_heads, MISTRAL_7B.kv_heads) == (32, 8)
