"""Tests of `rlaif_jax.optim.optimizers`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlaif_jax.config_parts import AdamWConfig, RmspropConfig
from rlaif_jax.optim.optimizers import build_optimizer

START = np.array([1.0, -2.0, 0.5], np.float32)
GRADS = np.array([[0.5, -0.1, 3.0], [-0.2, 0.0, 4.0], [0.1, 2.0, -1.0]], np.float32)


def trajectory(optimizer, start, grads):
    """The parameters after each update."""
    params = jnp.asarray(start)
    state = optimizer.init(params)
    seen = []
    for grad in grads:
        updates, state = jax.jit(optimizer.update)(jnp.asarray(grad), state, params)
        params = optax.apply_updates(params, updates)
        seen.append(np.asarray(params))
    return np.array(seen)


def torch_trajectory(build, start, grads, max_grad_norm):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = build(torch.optim, [weight])
    seen = []
    for grad in grads:
        weight.grad = torch.from_numpy(grad.copy())
        torch.nn.utils.clip_grad_norm_([weight], max_grad_norm)
        optimizer.step()
        seen.append(weight.detach().numpy().copy())
    return np.array(seen)


def test_rmsprop_moves_as_in_the_code_of_the_paper():
    optimizer = build_optimizer(RmspropConfig(learning_rate=5e-7), None)
    moved = trajectory(optimizer, np.float32(0.0), np.float32([0.5, -0.2, 0.1]))
    expected = [-4.999999e-6, -3.134990e-6, -4.056150e-6]
    np.testing.assert_allclose(moved, expected, rtol=1e-6)


@pytest.mark.parametrize("max_grad_norm", [10.0, 1.0])
def test_rmsprop_equals_torch(max_grad_norm):
    config = RmspropConfig(learning_rate=0.01, max_grad_norm=max_grad_norm)
    expected = torch_trajectory(
        lambda optim, weights: optim.RMSprop(weights, lr=0.01),
        START,
        GRADS,
        max_grad_norm,
    )
    ours = trajectory(build_optimizer(config, None), START, GRADS)
    np.testing.assert_allclose(ours, expected, rtol=2e-6)


@pytest.mark.parametrize("max_grad_norm", [10.0, 1.0])
def test_adamw_equals_torch(max_grad_norm):
    config = AdamWConfig(
        learning_rate=0.01, weight_decay=0.1, b2=0.95, max_grad_norm=max_grad_norm
    )
    expected = torch_trajectory(
        lambda optim, weights: optim.AdamW(
            weights, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1
        ),
        START,
        GRADS,
        max_grad_norm,
    )
    ours = trajectory(build_optimizer(config, None), START, GRADS)
    np.testing.assert_allclose(ours, expected, rtol=2e-6)


def test_the_norm_is_taken_over_all_parameters():
    config = AdamWConfig(learning_rate=1.0, max_grad_norm=1.0)
    optimizer = build_optimizer(config, None)
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}  # norm 5
    _, state = optimizer.update(grads, optimizer.init(grads), grads)
    # the first moment is (1 - b1) * grad / 5
    moment = optax.tree.get(state, "mu")
    np.testing.assert_allclose(moment["a"], 0.06, rtol=1e-6)
    np.testing.assert_allclose(moment["b"], 0.08, rtol=1e-6)


def test_the_schedule_scales_every_step():
    config = RmspropConfig(learning_rate=1.0, warmup_steps=1, decay=0.0)
    # decay 0 makes every step the sign of the gradient, times 1/2, then 1
    moved = trajectory(build_optimizer(config, None), np.float32(0.0), [2.0, 2.0])
    np.testing.assert_allclose(moved, [-0.5, -1.5], rtol=1e-6)
