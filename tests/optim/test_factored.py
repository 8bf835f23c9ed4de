"""Tests of `rlaif_jax.optim.factored`."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlaif_jax.config_parts import AdafactorConfig
from rlaif_jax.optim.optimizers import build_optimizer

DRAWS = np.random.default_rng(0)
LAYERS, WIDTH, HEADS, HEAD = 3, 8, 2, 5
AXES = {
    "q": ("layers", "embed", "kv_heads", "head_dim"),
    "norm": ("layers", "embed"),
}
PARAMS = {
    # layers of very different sizes, which any mixing would show
    "q": 10.0 ** np.arange(-1, 2).reshape(-1, 1, 1, 1)
    * DRAWS.normal(size=(LAYERS, WIDTH, HEADS, HEAD)),
    "norm": 1 + 0.1 * DRAWS.normal(size=(LAYERS, WIDTH)),
}
GRADS = [
    {name: 10.0 ** DRAWS.normal() * DRAWS.normal(size=leaf.shape) * leaf}
    | {"norm": DRAWS.normal(size=(LAYERS, WIDTH))}
    for name, leaf in [("q", PARAMS["q"])] * 4
]


def as_float32(tree):
    return {name: jnp.asarray(leaf, jnp.float32) for name, leaf in tree.items()}


def ours(config):
    optimizer = build_optimizer(config, None, axes=AXES)
    params = as_float32(PARAMS)
    state = optimizer.init(params)
    for grads in GRADS:
        updates, state = optimizer.update(as_float32(grads), state, params)
        params = optax.apply_updates(params, updates)
    return params


def matrix_by_hand(weight, grads, config):
    """Algorithm 4 of arXiv:1804.04235 on one matrix or vector, in float64."""
    weight = weight.copy()
    means = None
    for t, grad in enumerate(grads, start=1):
        squares = grad**2 + config.eps
        new = [squares.mean(1), squares.mean(0)] if grad.ndim == 2 else [squares]
        keep = 1 - t**-config.decay
        means = [
            keep * old + (1 - keep) * now
            for old, now in zip(means or new, new, strict=True)
        ]
        if grad.ndim == 2:
            rows, columns = means
            second = np.outer(rows, columns) / rows.mean()
        else:
            second = means[0]
        update = grad / np.sqrt(second)
        rms = np.sqrt((update**2).mean())
        update = update / max(1.0, rms / config.clipping_threshold)
        if config.relative_rate:
            update = update * max(1e-3, np.sqrt((weight**2).mean()))
        update = update + config.weight_decay * weight
        weight = weight - config.learning_rate * update
    return weight


@pytest.mark.parametrize(
    "changes",
    [{}, {"relative_rate": True, "weight_decay": 0.1}, {"clipping_threshold": 0.3}],
)
def test_every_layer_is_a_matrix_of_its_own(changes):
    config = AdafactorConfig(
        learning_rate=0.1, min_factored=4, max_grad_norm=1e9, **changes
    )
    found = ours(config)
    for layer in range(LAYERS):
        shape = (WIDTH, HEADS * HEAD)
        expected = matrix_by_hand(
            PARAMS["q"][layer].reshape(shape),
            [grads["q"][layer].reshape(shape) for grads in GRADS],
            config,
        )
        np.testing.assert_allclose(
            np.asarray(found["q"][layer]).reshape(shape),
            expected,
            rtol=2e-5,
            atol=1e-6 * np.abs(expected).max(),
        )
        vector = [grads["norm"][layer] for grads in GRADS]
        expected = matrix_by_hand(PARAMS["norm"][layer], vector, config)
        np.testing.assert_allclose(found["norm"][layer], expected, rtol=2e-5)


def test_one_matrix_is_as_optax_has_it():
    config = AdafactorConfig(learning_rate=0.1, min_factored=4, max_grad_norm=1e9)
    theirs = optax.adafactor(
        0.1,
        min_dim_size_to_factor=4,
        multiply_by_parameter_scale=False,
    )
    mine = build_optimizer(config, None, axes={"w": ("embed", "ffw")})
    params = [{"w": jnp.asarray(PARAMS["q"][0, :, 0], jnp.float32)}] * 2
    states = [mine.init(params[0]), theirs.init(params[1])]
    for grads in GRADS:
        grad = {"w": jnp.asarray(grads["q"][0, :, 0], jnp.float32)}
        for n, optimizer in enumerate((mine, theirs)):
            updates, states[n] = optimizer.update(grad, states[n], params[n])
            params[n] = optax.apply_updates(params[n], updates)
    np.testing.assert_allclose(params[0]["w"], params[1]["w"], rtol=1e-5)


def test_small_matrices_keep_every_mean():
    config = AdafactorConfig(learning_rate=0.1)  # 128 rows and columns
    state = build_optimizer(config, None, axes=AXES).init(as_float32(PARAMS))
    squares = optax.tree.get(state, "squares")
    assert squares["q"].shape == PARAMS["q"].shape


def test_matrices_are_not_guessed():
    with pytest.raises(ValueError, match="axes"):
        build_optimizer(AdafactorConfig(learning_rate=0.1), None)
