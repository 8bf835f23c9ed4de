"""A mixture of experts, imported, trained and exported on one device and on four."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM

EXPERTS = {"fsdp": 2, "expert": 2}
TOKENS = {"max_prompt_tokens": 12, "max_completion_tokens": 12}


@pytest.fixture(scope="module")
def base(rlaif, study, tmp_path_factory):
    """A model folder made from transformers' files, on four devices."""
    root = tmp_path_factory.mktemp("mixture")
    torch.manual_seed(0)
    tokenizer = json.loads((study.world / "tokenizer" / "tokenizer.json").read_text())
    size = len(tokenizer["model"]["vocab"])
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = MixtralConfig(vocab_size=size, num_local_experts=4, **sizes, **heads)
    MixtralForCausalLM(config).save_pretrained(root / "theirs")
    for file in (study.world / "tokenizer").iterdir():
        (root / "theirs" / file.name).write_bytes(file.read_bytes())
    document = {"folder": str(root / "theirs"), "mesh": EXPERTS}
    return rlaif.run("import-hf", document, root / "base", devices=4)


def test_import_and_export_are_inverse(rlaif, base, tmp_path):
    out = rlaif.run("export-hf", {"model": str(base)}, tmp_path / "hf")
    before = load_file(base.parent / "theirs" / "model.safetensors")
    after = load_file(out / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        np.testing.assert_array_equal(tensor, after[name])
    AutoModelForCausalLM.from_pretrained(out)


def test_sft_dpo_and_sampling_with_experts_on_two_devices(
    rlaif, study, base, tmp_path, losses
):
    runs = {}
    for devices, mesh in ((1, {}), (4, EXPERTS)):
        root = tmp_path / str(devices)
        sft = study.sft(
            model={"path": str(base)}, mesh=mesh, router_weight=0.02, epochs=1
        )
        start = rlaif.run("sft", sft, root / "sft", devices=devices)
        dpo = study.dpo(model={"path": str(start)}, mesh=mesh, epochs=1)
        rlaif.run("dpo", dpo, root / "dpo", devices=devices)
        runs[devices] = (losses(start), losses(root / "dpo"))
    for one, four in zip(*runs.values(), strict=True):
        assert four == pytest.approx(one, rel=1e-4)
    first = json.loads((tmp_path / "4/sft/metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(
        first["loss/task"] + 0.02 * first["loss/router"], rel=1e-6
    )
    assert 2.0 <= first["loss/router"] < 4.0  # 2 choices a token if even
    sample = {
        "model": {"path": str(tmp_path / "4" / "dpo")},
        "prompts": str(study.prompts),
        "splits": ["test"],
        "tokens": TOKENS,
        "mesh": EXPERTS,
    }
    out = rlaif.run("sample", sample, tmp_path / "sample", devices=4)
    assert len((out / "completions.jsonl").read_text().splitlines()) == 20


def test_a_router_weight_needs_a_router(rlaif, study, tmp_path):
    process = rlaif.start("sft", study.sft(router_weight=0.1), tmp_path / "sft")
    assert process.wait(timeout=60) == 2
    assert "router_weight=0.1 is for a mixture" in process.log.read_text()
