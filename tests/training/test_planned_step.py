"""Tests of `rlaif_jax.training.planned_step`, on plans that it makes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.config_parts import AdamWConfig, GuardConfig
from rlaif_jax.data.packing import Example, pack
from rlaif_jax.errors import UsageError
from rlaif_jax.models import init_params
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.training import memory_plan
from rlaif_jax.training.batches import place_rows
from rlaif_jax.training.planned_step import PlannedStep
from rlaif_jax.training.scoring import logits_bytes
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.state import StateLayout


@pytest.fixture(scope="module")
def config(tiny):
    return tiny.replace(num_layers=1)


@pytest.fixture(scope="module")
def layout(config, eight_devices):
    optimizer = build_optimizer(AdamWConfig(learning_rate=0.1), None)
    return StateLayout.create(config, optimizer, eight_devices)


@pytest.fixture(scope="module")
def jitted(layout, config):
    """One for all tests, so that each shape is compiled once."""
    return layout.compile(sft_objective(config, "sequence_sum"), GuardConfig())


def batch(mesh, length):
    rows = pack([Example([3, 4], [5, 1])] * 8, length=length, multiple=8)
    return [place_rows(rows, mesh)]


@pytest.fixture
def start(layout, config):
    return lambda: layout.fresh(init_params(config, jax.random.key(0)))


@pytest.fixture
def compilations():
    """How many programs the compiler has made since."""
    count = []

    def listen(event, seconds, **facts):
        if event == "/jax/core/compile/backend_compile_duration":
            count.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield count
    jax.monitoring.unregister_event_duration_listener(listen)


def planned(jitted, config, mesh):
    told = []
    return PlannedStep(jitted, config=config, mesh=mesh, tell=told.append), told


def test_a_plan_costs_no_second_compilation(
    jitted, config, eight_devices, start, compilations
):
    with jax.set_mesh(eight_devices):
        step, told = planned(jitted, config, eight_devices)
        state, short = start(), batch(eight_devices, 8)
        before = len(compilations)
        state, _ = step(state, short, {})
        assert len(compilations) == before + 1
        state, _ = step(state, short, {})
        assert len(compilations) == before + 1
        assert len(told) == 1
        state, _ = step(state, batch(eight_devices, 32), {})
        jax.block_until_ready(state)
    assert len(compilations) == before + 2
    assert len(told) == 2
    assert told[1].peak > told[0].peak
    assert step.largest == told[1]


def test_a_plan_adds_up_to_what_a_device_holds(jitted, config, eight_devices, start):
    with jax.set_mesh(eight_devices):
        step, told = planned(jitted, config, eight_devices)
        state, rows = start(), batch(eight_devices, 8)
        arguments = (state, rows, {})
        memory = jitted.lower(*arguments).compile().memory_analysis()
        first = eight_devices.local_devices[0]

        def held(tree):
            shards = [s for x in jax.tree.leaves(tree) for s in x.addressable_shards]
            return sum(s.data.nbytes for s in shards if s.device == first)

        expected = held(state.params), held(state), held(rows)
        before = jnp.zeros((1000, 1000), device=first)
        jax.block_until_ready(step(*arguments))
        del before
    (plan,) = told
    assert plan.weights == expected[0]
    assert plan.weights + plan.optimizer == expected[1]
    assert plan.batch <= expected[2]  # what the loss does not read is no argument
    assert plan.beside >= 4_000_000
    assert plan.gradients + plan.logits + plan.activations == (
        memory.temp_size_in_bytes
    )
    assert plan.peak == plan.beside + plan.program + (
        memory.argument_size_in_bytes + memory.temp_size_in_bytes
    )


def test_logits_are_those_of_one_chunk_on_one_device(config, eight_devices):
    rows = batch(eight_devices, 8)[0]
    # a slot of each row is too few to cut: rows x slots x words x 4 bytes
    everything = np.prod(rows.sources.shape) * 32 * 4
    assert logits_bytes(config, rows) == everything
    with jax.set_mesh(eight_devices):
        assert logits_bytes(config, rows) == everything // 8


def test_what_certainly_does_not_fit_is_refused_before_it_runs(
    jitted, config, eight_devices, start, monkeypatch
):
    monkeypatch.setattr(memory_plan, "memory_limit", lambda device: 1000)
    with jax.set_mesh(eight_devices):
        step, told = planned(jitted, config, eight_devices)
        state = start()
        with pytest.raises(UsageError, match="does not fit") as refused:
            step(state, batch(eight_devices, 8), {})
    assert "in all" in str(refused.value)
    assert told == []
    assert not state.step.is_deleted()
