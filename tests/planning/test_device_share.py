"""Tests of `rlaif_jax.planning.device_share`."""

from rlaif_jax.models.registry import preset
from rlaif_jax.planning.device_share import DeviceShare

MISTRAL = preset("mistral-7b-v0.1")  # 4096 wide, 8 x 4 heads of 128, 14,336 inside
MESH = {"data": 2, "fsdp": 4, "tensor": 2, "expert": 1}


def test_a_device_has_its_rows_heads_and_words():
    share = DeviceShare(MISTRAL, MESH, rows=16, length=100)
    assert (share.rows_here, share.tokens) == (2, 200)
    assert share.stream == 200 * 4096  # whole: tensor splits no stream
    assert share.keys == 200 * 4 * 128
    assert share.queries == 4 * share.keys
    assert share.hidden == 200 * 7168
    assert share.scores == 2 * 16 * 100 * 100
    assert share.words == 16_000
    assert not share.is_alone


def test_experts_compute_a_row_a_choice():
    mesh = {"data": 1, "fsdp": 1, "tensor": 1, "expert": 4}
    share = DeviceShare(preset("mixtral-8x7b-v0.1"), mesh, rows=1, length=10)
    assert (share.choices, share.experts) == (20, 2)
    assert share.hidden == 20 * 14_336


def test_an_axis_that_splits_no_activations_changes_nothing():
    mesh = MESH | {"another": 1}
    assert DeviceShare(MISTRAL, mesh, 16, 100).stream == 200 * 4096
