"""Tests of `rlaif_jax.planning.exchanges`."""

import pytest

from rlaif_jax.planning.exchanges import (
    GATHERED,
    Exchange,
    Links,
    Traffic,
    link_seconds,
)

MESH = {"data": 2, "fsdp": 4, "tensor": 2, "expert": 1}
TRAFFIC = Traffic(weights=800, stream=100, layers=3, is_mixture=False)


def test_weights_are_gathered_and_streams_are_summed():
    gathered, attention, mlp = TRAFFIC.passes(MESH, gathers=2, streams=5)
    assert gathered == ("all-gather", GATHERED, 2 * 800 * 3 // 4, 2)
    # of 2 devices each sends half of what is summed, and half of the sum
    assert attention == mlp == ("all-reduce", ("tensor",), 5 * 3 * 100, 15)


def test_gradients_are_scattered_along_fsdp_and_summed_along_data():
    scattered, summed = TRAFFIC.gradients(MESH, parts=2)
    assert scattered == ("reduce-scatter", GATHERED, 2 * 600, 2)
    assert summed == ("all-reduce", ("data",), 2 * 200, 2)


def test_results_of_experts_are_summed_over_both_axes():
    mixture = TRAFFIC._replace(is_mixture=True)
    mesh = MESH | {"expert": 2}
    *_, mlp = mixture.passes(mesh, gathers=0, streams=1)
    assert (mlp.axes, mlp.sent) == (("tensor", "expert"), 3 * 2 * 100 * 3 // 4)


def test_one_device_sends_nothing():
    alone = dict.fromkeys(MESH, 1)
    assert not TRAFFIC.passes(alone, gathers=2, streams=3)
    assert not TRAFFIC.gradients(alone, parts=1)
    assert link_seconds([], alone, Links(None)) == 0.0


@pytest.mark.parametrize(
    ("axis", "host", "rate"),
    [
        ("tensor", 8, 100.0),  # within a host
        ("fsdp", 8, 100.0),  # 4 x 2 devices are one host
        ("data", 8, 10.0),  # each sends to its one counterpart
        ("fsdp", 4, 20.0),  # 2 of the 4 on each host send side by side
        ("data", None, 100.0),
    ],
)
def test_groups_over_several_hosts_take_the_links_between_them(axis, host, rate):
    links = Links(near=100.0, far=10.0, host=host)
    one = Exchange("all-gather", (axis,), 1000, 1)
    assert link_seconds([one], MESH, links) == pytest.approx(1000 / rate)


def test_a_rate_that_is_not_known_leaves_the_time_out():
    links = Links(near=100.0, host=8)
    near, far = (Exchange("all-gather", (axis,), 1000, 1) for axis in ("fsdp", "data"))
    assert link_seconds([near], MESH, links) == 10.0
    assert link_seconds([near, far], MESH, links) is None
