"""Tests of `rlaif_jax.checkpoint.peft`: what PEFT makes of the files."""

import copy
import json

import jax
import jax.numpy as jnp
import numpy as np
import peft
import pytest
import torch
from safetensors.numpy import load_file

from rlaif_jax.checkpoint import import_hf
from rlaif_jax.checkpoint.card import Lineage
from rlaif_jax.checkpoint.peft import export_adapters
from rlaif_jax.models import (
    Lora,
    forward,
    init_adapters,
    joined_params,
    merged_params,
)

# PEFT 0.21 asks transformers for a name that it is about to lose
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_check:FutureWarning")

LINEAGE = Lineage(base_model="team/base")
IDS = np.random.default_rng(0).integers(3, 96, (2, 12)).astype(np.int32)


def adapted(config, targets):
    """The config with adapters, and adapters that change a lot."""
    config = config.replace(lora=Lora(rank=3, alpha=4.5, targets=targets))
    adapters = init_adapters(config, jax.random.key(0))
    leaves, tree = jax.tree.flatten(adapters)
    rng = np.random.default_rng(1)
    drawn = [
        jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32) for leaf in leaves
    ]
    return config, jax.tree.unflatten(tree, drawn)


def with_peft(model, config, adapters, out):
    """The model as PEFT loads it with our files."""
    tokenizer = out.parent / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_text("{}")
    written(config, adapters, out)
    return peft.PeftModel.from_pretrained(copy.deepcopy(model), out, is_trainable=True)


def all_linears(config):
    return config.linears


def some_linears(config):
    return ("k", "o", config.linears[-1])


@pytest.mark.parametrize("targets", [all_linears, some_linears])
def test_peft_computes_the_same(exported_by_torch, tmp_path, targets):
    folder, model = exported_by_torch
    config, params = import_hf(folder)
    names = tuple(dict.fromkeys(targets(config)))
    config, adapters = adapted(config, names)
    theirs = with_peft(model, config, adapters, tmp_path / "adapter")
    with torch.no_grad():
        expected = theirs(torch.tensor(IDS).long()).logits.numpy()
    ours = forward(config, joined_params(params, adapters), jnp.asarray(IDS))
    assert np.abs(np.asarray(ours) - expected).max() < 1e-4
    plain = forward(config.replace(lora=None), params, jnp.asarray(IDS))
    assert np.abs(np.asarray(plain) - expected).max() > 0.1  # adapters matter

    merged = merged_params(config, joined_params(params, adapters))
    after = forward(config.replace(lora=None), merged, jnp.asarray(IDS))
    assert np.abs(np.asarray(after) - expected).max() < 1e-4


def test_gradients_of_adapters_are_pefts(exported_by_torch, tmp_path):
    folder, model = exported_by_torch
    config, params = import_hf(folder)
    config, adapters = adapted(config, config.linears)

    def loss(adapters):
        logits = forward(config, joined_params(params, adapters), jnp.asarray(IDS))
        logps = jax.nn.log_softmax(logits[:, :-1])
        return -jnp.take_along_axis(logps, IDS[:, 1:, None], axis=-1).mean()

    value, ours = jax.value_and_grad(loss)(adapters)
    theirs = with_peft(model, config, adapters, tmp_path / "adapter")
    expected = torch.nn.functional.cross_entropy(
        theirs(torch.tensor(IDS).long()).logits[:, :-1].flatten(0, 1),
        torch.tensor(IDS[:, 1:]).long().flatten(),
    )
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    expected.backward()
    gradients = {
        name.replace(".default", ""): weight.grad.numpy()
        for name, weight in theirs.named_parameters()
        if weight.grad is not None
    }
    # files take gradients as they take adapters, by PEFT's names and layouts
    found = written(config, ours, tmp_path / "gradients")
    trained = written(config, adapters, tmp_path / "again")
    assert found.keys() == gradients.keys()
    for name, gradient in found.items():
        theirs_alone = np.where(trained[name] == 0, 0, gradients[name])
        scale = np.abs(gradients[name]).max()
        np.testing.assert_allclose(gradient, theirs_alone, rtol=0, atol=2e-5 * scale)


def written(config, adapters, out):
    """What the file for PEFT has by name."""
    tokenizer = out.parent / "tokenizer"
    export_adapters(config, adapters, out, tokenizer_dir=tokenizer, lineage=LINEAGE)
    return load_file(out / "adapter_model.safetensors")


def test_a_fused_layer_has_the_rank_of_its_parts(torch_model, tmp_path):
    torch_model("gpt2").save_pretrained(tmp_path / "model")
    config, _ = import_hf(tmp_path / "model")
    config, adapters = adapted(config, ("q", "v", "down"))
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    export_adapters(
        config,
        adapters,
        tmp_path / "out",
        tokenizer_dir=tmp_path / "model",
        lineage=Lineage(base_model="gpt2"),
    )
    document = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert document["target_modules"] == ["attn.c_attn", "mlp.c_proj"]
    assert (document["r"], document["lora_alpha"]) == (3, 4.5)
    assert document["rank_pattern"] == {"attn.c_attn": 6}  # of q and of v
    assert document["alpha_pattern"] == {"attn.c_attn": 9.0}
    assert document["fan_in_fan_out"] is True
    assert document["base_model_name_or_path"] == "gpt2"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "library_name: peft" in card
    assert "| adapters | rank 3, alpha 4.5 |" in card
