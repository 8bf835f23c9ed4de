"""Tests of `rlaif_jax.sampling.engine`."""

import jax
import numpy as np
import pytest

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.models import init_params, logical_axes, preset
from rlaif_jax.sampling.engine import Sampler
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import place_params

CONFIG = preset("llama-tiny").replace(vocab_size=24)
REQUESTS = [(f"prompt-{n}", list(range(1, 2 + n % 5))) for n in range(11)]


def sampler(mesh_config=None, num_devices=1, **changes):
    config = mesh_config or MeshConfig()
    mesh = build_mesh(config, jax.devices()[:num_devices])
    params = init_params(CONFIG, jax.random.key(0))
    return Sampler(
        CONFIG,
        place_params(params, logical_axes(CONFIG), mesh),
        mesh=mesh,
        **{
            "temperature": 1.0,
            "top_k": None,
            "top_p": 0.9,
            "max_prompt_tokens": 8,
            "max_new_tokens": 6,
            "batch_size": 4,
            "end_ids": (3,),
        }
        | changes,
    )


@pytest.fixture(scope="module")
def plain():
    return list(sampler().sample(REQUESTS))


def test_results_come_in_the_order_of_the_requests(plain):
    backwards = list(sampler().sample(REQUESTS[::-1]))

    assert len(plain) == len(REQUESTS)
    assert backwards[::-1] == plain


def test_a_completion_stops_at_its_end_token_or_at_the_limit(plain):
    assert {one.finish_reason for one in plain} == {"stop", "length"}
    for one in plain:
        assert 3 not in one.token_ids
        assert (len(one.token_ids) == 6) == (one.finish_reason == "length")


def test_a_row_does_not_depend_on_the_batch_it_sits_in(plain):
    assert list(sampler(batch_size=16).sample(REQUESTS)) == plain
    assert list(sampler().sample(REQUESTS[5:])) == plain[5:]


@pytest.mark.parametrize(
    "mesh", [MeshConfig(), MeshConfig(data=2, fsdp=2, tensor=2)], ids=["fsdp", "mixed"]
)
def test_eight_devices_sample_what_one_does(plain, mesh):
    assert list(sampler(mesh, num_devices=8).sample(REQUESTS)) == plain


def test_a_name_that_comes_again_is_another_sample():
    prompt = REQUESTS[4]

    first, second, third = sampler(top_p=1.0).sample([prompt] * 3)

    assert len({first, second, third}) == 3


def test_the_seed_decides(plain):
    assert list(sampler(seed=0).sample(REQUESTS)) == plain
    assert list(sampler(seed=1).sample(REQUESTS)) != plain


def test_one_shape_is_compiled_once_for_several_batches():
    engine = sampler()

    list(engine.sample(REQUESTS))

    assert engine._decode._cache_size() == 1


def test_greedy_completions_equal_those_of_transformers_generate(tmp_path):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from rlaif_jax.checkpoint import import_hf

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=40,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            initializer_range=0.5,
            bos_token_id=1,
            eos_token_id=3,
            pad_token_id=0,
        )
    )
    model.save_pretrained(tmp_path)
    config, params = import_hf(tmp_path)
    engine = Sampler(
        config,
        params,
        mesh=build_mesh(MeshConfig(), jax.devices()[:1]),
        temperature=0.0,
        top_k=None,
        top_p=1.0,
        max_prompt_tokens=8,
        max_new_tokens=8,
        batch_size=4,
        end_ids=(3,),
    )

    ours = list(engine.sample(REQUESTS[:5]))

    for (_, prompt), one in zip(REQUESTS[:5], ours, strict=True):
        whole = model.generate(
            torch.tensor([prompt]), max_new_tokens=8, do_sample=False
        )[0]
        theirs = whole[len(prompt) :].tolist()
        assert list(one.token_ids) == [token for token in theirs if token != 3]
        assert one.finish_reason == ("stop" if 3 in theirs else "length")


def test_nothing_asked_is_nothing_sampled():
    assert list(sampler().sample([])) == []


@pytest.mark.parametrize(
    ("prompt", "named"), [([], "no tokens"), (list(range(9)), "max_prompt_tokens=8")]
)
def test_an_impossible_prompt_is_refused_before_anything_runs(prompt, named):
    with pytest.raises(UsageError, match=named):
        sampler().sample([*REQUESTS, ("bad", prompt)])


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="batch_size 0"):
        sampler(batch_size=0)


def test_the_batch_is_rounded_up_to_what_the_devices_share():
    engine = sampler(num_devices=8, batch_size=3)

    results = list(engine.sample(REQUESTS[:3]))

    assert len(results) == 3
    assert np.all([len(one.token_ids) <= 6 for one in results])
