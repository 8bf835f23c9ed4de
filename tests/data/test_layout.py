"""Tests of `rlaif_jax.data.layout`."""

import pytest

from rlaif_jax.config_parts import RowsConfig, TokensConfig
from rlaif_jax.data.layout import build_layout, row_tokens
from rlaif_jax.data.packing import Pair
from rlaif_jax.errors import UsageError

TOKENS = TokensConfig(max_prompt_tokens=100, max_completion_tokens=50)


def tokens_of(config, *, num_completions=2, items_a_device=8.0, num_parts=1):
    return row_tokens(
        config,
        TOKENS,
        num_completions=num_completions,
        items_a_device=items_a_device,
        num_parts=num_parts,
    )


def test_a_padded_row_holds_a_prompt_and_one_completion():
    # 100 + 50, up to a multiple of 8
    assert tokens_of(RowsConfig(layout="padded")) == 152


@pytest.mark.parametrize(
    ("num_completions", "items_a_device", "expected"),
    [
        (2, 1.0, 200),  # 100 + 2 x 50: one pair must fit
        (2, 8.0, 400),  # a quarter of 8 x 200
        (2, 64.0, 1024),  # wide enough
        (1, 8.0, 304),  # a quarter of 8 x 150 is 300
    ],
)
def test_four_packed_rows_take_a_device_s_batch(
    num_completions, items_a_device, expected
):
    found = tokens_of(
        RowsConfig(), num_completions=num_completions, items_a_device=items_a_device
    )
    assert found == expected


def test_a_given_length_is_kept_if_it_holds_the_longest():
    assert tokens_of(RowsConfig(length=200)) == 200
    with pytest.raises(UsageError, match=r"rows.length=199 does not hold 200 tokens"):
        tokens_of(RowsConfig(length=199))


def test_devices_that_share_a_row_have_whole_lanes_of_it():
    # a quarter of 8 x 200 is 400, up to a multiple of 2 x 128
    assert tokens_of(RowsConfig(), num_parts=2) == 512
    assert tokens_of(RowsConfig(length=300), num_parts=2) == 300
    with pytest.raises(UsageError, match=r"length=301 .* over mesh.sequence=2 devices"):
        tokens_of(RowsConfig(length=301), num_parts=2)


def test_the_layout_is_that_of_the_config():
    pairs = [Pair([1], [2], [3])] * 2
    packed = build_layout(RowsConfig(), length=8, num_devices=2)(pairs)
    assert packed.token_ids.shape == (2, 8)
    padded = build_layout(RowsConfig(layout="padded"), length=8)(pairs)
    assert padded.token_ids.shape == (4, 8)
