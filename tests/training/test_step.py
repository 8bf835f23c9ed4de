"""Tests of `rlaif_jax.training.step`."""

import jax.numpy as jnp
import numpy as np
import optax

from rlaif_jax.training.step import TrainState, train_step


def test_metrics_are_of_the_parameters_before_the_step():
    def loss_fn(params, batch):
        return (params["w"] * batch).sum(), {"w": params["w"].sum()}

    optimizer = optax.sgd(1.0)
    params = {"w": jnp.array([1.0, 2.0])}
    state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))
    batch = jnp.array([3.0, 4.0])
    after, metrics = train_step(state, batch, loss_fn=loss_fn, optimizer=optimizer)
    # loss 3 + 8, gradient (3, 4), new weights (1 - 3, 2 - 4)
    assert metrics == {"loss": 11.0, "w": 3.0, "grad_norm": 5.0}
    np.testing.assert_array_equal(after.params["w"], [-2.0, -2.0])
    assert int(after.step) == 1
