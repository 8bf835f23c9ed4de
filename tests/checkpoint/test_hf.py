"""Tests of `rlaif_jax.checkpoint.hf`: parity with transformers, and the way back."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from rlaif_jax.checkpoint import export_hf, hf, import_folder, import_hf, store
from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import CorruptDataError, RefusedError, UsageError
from rlaif_jax.models import forward, logical_axes
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import param_shardings


@pytest.fixture
def llama_folder(tmp_path, torch_model):
    folder = tmp_path / "theirs"
    torch_model("llama").save_pretrained(folder)
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    return folder


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(folder, edit):
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def random_ids(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 96, shape).astype(np.int32)


def their_logits(model, token_ids, attention_mask=None):
    mask = None if attention_mask is None else torch.tensor(attention_mask)
    with torch.no_grad():
        return model(torch.tensor(token_ids).long(), attention_mask=mask).logits.numpy()


def tensor_hashes(folder):
    return {
        name: hashlib.sha256(tensor.tobytes()).hexdigest()
        for path in folder.glob("*.safetensors")
        for name, tensor in load_file(path).items()
    }


def test_logits_match_transformers(exported_by_torch):
    folder, model = exported_by_torch
    config, params = import_hf(folder)
    token_ids = random_ids((2, 12))
    np.testing.assert_allclose(
        forward(config, params, jnp.asarray(token_ids)),
        their_logits(model, token_ids),
        rtol=1e-4,
        atol=1e-4,
    )


def test_padding_matches_an_attention_mask(exported_by_torch):
    folder, model = exported_by_torch
    config, params = import_hf(folder)
    token_ids = random_ids((2, 10))
    real = (np.arange(10) < np.array([[10], [7]])).astype(np.int32)
    actual = forward(
        config, params, jnp.asarray(token_ids), segment_ids=jnp.asarray(real)
    )
    expected = their_logits(model, token_ids, real)
    np.testing.assert_allclose(
        actual[real == 1], expected[real == 1], rtol=1e-4, atol=1e-4
    )


def test_packed_segments_match_separate_rows(exported_by_torch):
    folder, model = exported_by_torch
    config, params = import_hf(folder)
    first, second = random_ids((1, 5)), random_ids((1, 8), seed=1)
    actual = forward(
        config,
        params,
        jnp.asarray(np.concatenate([first, second], axis=1)),
        positions=jnp.asarray(np.r_[0:5, 0:8])[None],
        segment_ids=jnp.asarray([[1] * 5 + [2] * 8]),
    )
    expected = [their_logits(model, part) for part in (first, second)]
    np.testing.assert_allclose(
        actual, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-4
    )


def test_a_round_trip_keeps_every_byte_and_every_logit(exported_by_torch, tmp_path):
    folder, model = exported_by_torch
    config, params = import_hf(folder)
    export_hf(config, params, tmp_path, tokenizer_dir=folder)
    assert tensor_hashes(tmp_path) == tensor_hashes(folder)
    token_ids = random_ids((2, 12))
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(again) is type(model)
    np.testing.assert_array_equal(
        their_logits(again, token_ids), their_logits(model, token_ids)
    )
    assert import_hf(tmp_path)[0] == config


@pytest.mark.parametrize("param_dtype", ["float32", "bfloat16"])
def test_a_bfloat16_round_trip_keeps_every_byte(tmp_path, torch_model, param_dtype):
    torch_model("mistral").to(torch.bfloat16).save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "tokenizer.json").write_text("{}")
    config, params = import_hf(tmp_path / "theirs", param_dtype)
    assert params["head"].dtype == param_dtype
    out = tmp_path / "ours"
    tokenizer = tmp_path / "theirs"
    export_hf(config, params, out, tokenizer_dir=tokenizer, dtype="bfloat16")
    assert tensor_hashes(out) == tensor_hashes(tmp_path / "theirs")
    assert AutoModelForCausalLM.from_pretrained(out).dtype == torch.bfloat16


@pytest.mark.parametrize("axes", [{"fsdp": 8}, {"fsdp": 4, "tensor": 2}], ids=str)
def test_sharded_files_on_a_mesh_come_back_byte_for_byte(
    exported_by_torch, tmp_path, monkeypatch, axes
):
    folder, model = exported_by_torch
    monkeypatch.setattr(hf, "MAX_FILE_BYTES", 20_000)
    require_round_trip(folder, model, tmp_path, axes)


@pytest.mark.parametrize("axes", [{"fsdp": 4, "expert": 2}, {"expert": 4}], ids=str)
def test_experts_on_several_devices_come_back_byte_for_byte(
    torch_model, tmp_path, monkeypatch, axes
):
    model = torch_model("mixtral")
    model.save_pretrained(tmp_path / "one")
    (tmp_path / "one" / "tokenizer.json").write_text("{}")
    monkeypatch.setattr(hf, "MAX_FILE_BYTES", 20_000)
    require_round_trip(tmp_path / "one", model, tmp_path, axes)


def require_round_trip(folder, model, root, axes):
    """Reads several files onto a mesh, and writes several files from there."""
    model.save_pretrained(root / "many", max_shard_size="20KB")
    assert (root / "many" / "model.safetensors.index.json").is_file()
    mesh = build_mesh(MeshConfig(**({"fsdp": -1} | axes)))
    config, params = import_hf(folder)
    same_config, sharded = import_hf(root / "many", mesh=mesh)
    assert same_config == config
    assert jax.tree.map(lambda leaf: leaf.sharding, sharded) == param_shardings(
        logical_axes(config), mesh
    )
    jax.tree.map(np.testing.assert_array_equal, sharded, params)
    files = export_hf(config, sharded, root / "out", tokenizer_dir=folder)
    assert len(files) > 1
    assert tensor_hashes(root / "out") == tensor_hashes(folder)


def test_a_large_export_is_sharded_and_loads(
    llama_folder, tmp_path, torch_model, monkeypatch
):
    monkeypatch.setattr(hf, "MAX_FILE_BYTES", 20_000)
    config, params = import_hf(llama_folder)
    out = tmp_path / "out"
    files = export_hf(config, params, out, tokenizer_dir=llama_folder)
    assert len(files) > 1
    assert tensor_hashes(out) == tensor_hashes(llama_folder)
    token_ids = random_ids((1, 6))
    np.testing.assert_array_equal(
        their_logits(AutoModelForCausalLM.from_pretrained(out), token_ids),
        their_logits(torch_model("llama"), token_ids),
    )


def test_a_model_folder_holds_the_imported_model(llama_folder, tmp_path):
    folder = import_folder(llama_folder, tmp_path / "run", "float32")
    config, params = import_hf(llama_folder)
    opened = store.open_folder(tmp_path / "run")
    assert opened.config == folder.config == config
    tokenizer = opened.tokenizer_dir / "tokenizer.json"
    assert tokenizer.read_text() == '{"version": "1.0"}'
    assert not list(opened.tokenizer_dir.glob("*.safetensors"))
    jax.tree.map(
        np.testing.assert_array_equal, store.restore_params(opened, None, None), params
    )
    import_folder(llama_folder, tmp_path / "run", "float32")  # done is done


def test_an_export_brings_card_tokenizer_and_generation_config(llama_folder, tmp_path):
    (llama_folder / "generation_config.json").unlink()
    config, params = import_hf(llama_folder)
    out = tmp_path / "out"
    export_hf(config, params, out, tokenizer_dir=llama_folder)
    assert (out / "tokenizer.json").read_text() == '{"version": "1.0"}'
    assert json.loads((out / "generation_config.json").read_text()) == {
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    assert (out / "README.md").read_text().startswith("---\nlibrary_name: transformers")
    export_hf(config, params, out, tokenizer_dir=llama_folder)  # again: replaced


def test_tokenizer_and_generation_config_travel_along(llama_folder, tmp_path):
    chosen = '{"eos_token_id": [2, 7], "temperature": 0.6}'
    (llama_folder / "generation_config.json").write_text(chosen)
    (llama_folder / "chat_template.jinja").write_text("{{ messages }}")
    folder = import_folder(llama_folder, tmp_path / "run", "float32")
    params = store.restore_params(folder, None, None)
    out = tmp_path / "out"
    export_hf(folder.config, params, out, tokenizer_dir=folder.tokenizer_dir)
    assert (out / "generation_config.json").read_text() == chosen
    assert (out / "chat_template.jinja").read_text() == "{{ messages }}"


def test_an_export_does_not_replace_foreign_weights(llama_folder):
    config, params = import_hf(llama_folder)
    before = tensor_hashes(llama_folder)
    with pytest.raises(UsageError, match="choose another folder"):
        export_hf(config, params, llama_folder, tokenizer_dir=llama_folder)
    assert tensor_hashes(llama_folder) == before


def test_an_export_needs_a_tokenizer_and_a_known_dtype(llama_folder, tmp_path):
    config, params = import_hf(llama_folder)
    with pytest.raises(UsageError, match="no tokenizer in"):
        export_hf(config, params, tmp_path / "a", tokenizer_dir=tmp_path)
    with pytest.raises(UsageError, match="'int8' is not one of"):
        export_hf(
            config, params, tmp_path / "b", tokenizer_dir=llama_folder, dtype="int8"
        )


def test_rotary_tables_of_old_files_are_no_weights(llama_folder):
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit_tensors(llama_folder, lambda t: t.update({name: np.ones(4, np.float32)}))
    import_hf(llama_folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.layers.0.self_attn.q_proj.bias", "q_proj.bias has no place"),
        ("model.layers.2.mlp.up_proj.weight", "with 2 layers"),
    ],
)
def test_a_tensor_without_a_place_is_refused(llama_folder, name, message):
    edit_tensors(llama_folder, lambda t: t.update({name: np.ones(4, np.float32)}))
    with pytest.raises(RefusedError, match=message):
        import_hf(llama_folder)


def test_a_missing_tensor_is_named(llama_folder):
    edit_tensors(llama_folder, lambda t: t.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(CorruptDataError, match=r"model\.layers\.1\.mlp\.up_proj"):
        import_hf(llama_folder)


def test_a_config_of_another_size_is_corrupt(llama_folder):
    edit_config(llama_folder, intermediate_size=40)
    with pytest.raises(CorruptDataError, match=r"\(48, 32\)"):
        import_hf(llama_folder)


def test_a_tied_head_must_be_the_embedding(llama_folder):
    edit_config(llama_folder, tie_word_embeddings=True)
    with pytest.raises(CorruptDataError, match="tie_word_embeddings"):
        import_hf(llama_folder)
    edit_tensors(
        llama_folder,
        lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"]}),
    )
    config, params = import_hf(llama_folder)
    assert config.tie_embeddings
    assert "head" not in params


def test_a_mesh_that_does_not_fit_is_refused(llama_folder):
    mesh = build_mesh(MeshConfig(fsdp=2, tensor=4))  # 2 key/value heads
    with pytest.raises(UsageError, match=r"layers\.attention"):
        import_hf(llama_folder, mesh=mesh)


def test_an_unknown_parameter_dtype_is_refused(llama_folder):
    with pytest.raises(UsageError, match="float16"):
        import_hf(llama_folder, "float16")


TWO_PROCESSES = """
import json, sys
import jax, numpy as np
from rlaif_jax.checkpoint import import_hf, tensors
from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.runtime import distributed
from rlaif_jax.sharding.mesh import build_mesh

distributed.start()
num_bytes = {"read": 0, "own": 0}
read = tensors.TensorFiles.read

def counted(self, name, shape, slices=None):
    array = read(self, name, shape, slices)
    num_bytes["read"] += array.nbytes
    return array

tensors.TensorFiles.read = counted
mesh = build_mesh(MeshConfig(**json.loads(sys.argv[3])))
config, params = import_hf(sys.argv[1], mesh=mesh)
num_bytes["own"] = sum(  # what two devices hold both, once
    shard.data.nbytes for leaf in jax.tree.leaves(params)
    for shard in {str(s.index): s for s in leaf.addressable_shards}.values()
)
expected = np.load(sys.argv[2])
for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    whole = expected[jax.tree_util.keystr(path, simple=True, separator=".")]
    for shard in leaf.addressable_shards:
        np.testing.assert_array_equal(shard.data, whole[shard.index])
print("BYTES", json.dumps(num_bytes), flush=True)
distributed.broadcast({"done": True})
"""


@pytest.mark.parametrize(
    "axes", [{"fsdp": 4}, {"fsdp": 2, "tensor": 2}, {"fsdp": 2, "data": 2}], ids=str
)
def test_each_process_reads_only_what_its_devices_hold(
    torch_model, tmp_path, local_pod, axes
):
    model = torch_model("llama")
    model.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    _, params = import_hf(tmp_path / "model")
    named = jax.tree_util.tree_leaves_with_path(params)
    keys = [jax.tree_util.keystr(p, simple=True, separator=".") for p, _ in named]
    arrays = dict(zip(keys, [np.asarray(leaf) for _, leaf in named], strict=True))
    np.savez(tmp_path / "params.npz", **arrays)
    total = sum(array.nbytes for array in arrays.values())
    arguments = [tmp_path / "model", tmp_path / "params.npz", json.dumps(axes)]
    for result in local_pod(TWO_PROCESSES, arguments):
        assert result.returncode == 0, result.stderr[-2000:]
        line = next(s for s in result.stdout.splitlines() if s.startswith("BYTES"))
        num_bytes = json.loads(line.removeprefix("BYTES"))
        assert num_bytes["read"] == num_bytes["own"]
        # half of all and the vectors that every device has, unless hosts hold the same
        assert num_bytes["own"] < 0.55 * total or "data" in axes
