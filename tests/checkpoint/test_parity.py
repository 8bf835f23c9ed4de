"""Every family against transformers on a CPU, in all the layouts that training uses."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from rlaif_jax.checkpoint import import_hf
from rlaif_jax.losses import sequence_logps, sft_loss
from rlaif_jax.models import forward
from rlaif_jax.sampling.decode import PromptBatch, Stopping, decode
from rlaif_jax.sampling.select import Selection

LENGTHS = np.array([12, 7])  # both longer than the zoo's window of 5
WIDTH = 12


def random_ids(shape, seed=0):
    return np.random.default_rng(seed).integers(3, 96, shape).astype(np.int32)


def padded(side):
    """Two rows of different lengths, and what transformers needs to see them."""
    places = np.arange(WIDTH)
    if side == "right":
        real = places < LENGTHS[:, None]
    else:
        real = places >= WIDTH - LENGTHS[:, None]
    positions = np.where(real, np.cumsum(real, axis=1) - 1, 0)
    return random_ids((2, WIDTH)), real, positions


def their_logits(model, token_ids, real, positions):
    with torch.no_grad():
        return model(
            torch.tensor(token_ids).long(),
            attention_mask=torch.tensor(real.astype(np.int64)),
            position_ids=torch.tensor(positions).long(),
        ).logits.float()


@pytest.mark.parametrize("side", ["right", "left"])
def test_logits_and_log_probabilities_of_padded_rows(exported_by_torch, side):
    folder, model = exported_by_torch
    config, params = import_hf(folder)
    token_ids, real, positions = padded(side)
    ours = forward(
        config,
        params,
        jnp.asarray(token_ids),
        positions=jnp.asarray(positions),
        segment_ids=jnp.asarray(real.astype(np.int32)),
    )
    theirs = their_logits(model, token_ids, real, positions)
    assert np.abs(np.asarray(ours) - theirs.numpy())[real].max() < 1e-4
    scored = real[:, 1:] & real[:, :-1]
    targets = token_ids[:, 1:]
    expected = torch.log_softmax(theirs, -1)[:, :-1].gather(
        -1, torch.tensor(targets).long()[..., None]
    )[..., 0]
    np.testing.assert_allclose(
        sequence_logps(ours[:, :-1], jnp.asarray(targets), jnp.asarray(scored)),
        (expected * torch.tensor(scored)).sum(-1).numpy(),
        rtol=0,
        atol=1e-4,
    )


def test_bfloat16_stays_near_float32(exported_by_torch):
    folder, model = exported_by_torch
    config, params = import_hf(folder, "bfloat16")
    rounded = copy.deepcopy(model).to(torch.bfloat16)
    exact = copy.deepcopy(rounded).to(torch.float32)  # the same rounded weights
    token_ids, real, positions = padded("right")
    ours = forward(
        config.replace(compute_dtype="bfloat16"),
        params,
        jnp.asarray(token_ids),
        segment_ids=jnp.asarray(real.astype(np.int32)),
    )
    assert ours.dtype == jnp.float32
    expected = their_logits(exact, token_ids, real, positions).numpy()[real]
    theirs = their_logits(rounded, token_ids, real, positions).numpy()[real]
    size = np.linalg.norm(expected)
    error = np.linalg.norm(np.asarray(ours)[real] - expected) / size
    assert error < 3e-2
    # rounding activations costs transformers as much
    assert error < 1.5 * np.linalg.norm(theirs - expected) / size


def test_greedy_decoding_of_64_tokens(exported_by_torch):
    folder, model = exported_by_torch
    config, params = import_hf(folder)
    token_ids = random_ids((2, WIDTH))
    batch = PromptBatch(
        token_ids=jnp.asarray(token_ids),
        lengths=jnp.full(2, WIDTH),
        row_hashes=jnp.arange(2, dtype=jnp.uint32),
        sample_indices=jnp.zeros(2, jnp.int32),
    )
    ours = jax.jit(decode, static_argnames=("config", "selection", "stopping"))(
        config,
        params,
        batch,
        jnp.asarray(0),
        selection=Selection(temperature=0.0),
        stopping=Stopping(end_ids=(), max_new_tokens=64),
    )
    model.generation_config.eos_token_id = None
    theirs = model.generate(
        torch.tensor(token_ids).long(), max_new_tokens=64, do_sample=False
    )
    np.testing.assert_array_equal(ours.token_ids, theirs[:, WIDTH:].numpy())


def test_gradients_of_the_loss(exported_by_torch, tmp_path):
    folder, model = exported_by_torch
    model = copy.deepcopy(model)  # its weights will be overwritten
    config, params = import_hf(folder)
    token_ids = random_ids((2, WIDTH))

    def loss(params):
        logits = forward(config, params, jnp.asarray(token_ids))[:, :-1]
        targets = jnp.asarray(token_ids[:, 1:])
        return sft_loss(logits, targets, jnp.ones(targets.shape, bool)).mean()

    ours = jax.grad(loss)(params)
    ids = torch.tensor(token_ids).long()
    logps = torch.log_softmax(model(ids).logits[:, :-1].float(), -1)
    (-logps.gather(-1, ids[:, 1:, None]).sum((1, 2)).mean()).backward()
    with torch.no_grad():  # gradients in place of the weights, through the same import
        for weight in model.parameters():
            weight.copy_(weight.grad)
    model.save_pretrained(tmp_path)
    _, theirs = import_hf(tmp_path)

    whole = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(theirs)))

    def require_close(path, mine, other):
        error = np.linalg.norm(mine - other)
        # without rotation, no score depends on a key's bias: its gradient is rounding
        assert error < 1e-3 * np.linalg.norm(other) + 1e-6 * whole, (path, error)

    jax.tree_util.tree_map_with_path(require_close, ours, theirs)
