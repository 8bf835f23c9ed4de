"""`plan` with the real TPU compiler, as a user calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINING = "optimizer={name: rmsprop, learning_rate: 5e-7}"
MODEL = "model={path: nowhere, compute_dtype: bfloat16, remat: full}"


def plan(tmp_path, *arguments):
    """The result of the verb, and what it printed on stderr."""
    command = [sys.executable, "-m", "rlaif_jax", "plan", *arguments]
    return subprocess.run(
        [*command, "--json", "--out", str(tmp_path / "plan")],
        env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=900,  # minutes where other work goes on
        check=False,
    )


def result(tmp_path, *arguments):
    done = plan(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_pair_step_and_its_reference(tmp_path):
    found = result(
        tmp_path,
        "topology=v5e:4x4",
        "architecture=pythia-70m",
        MODEL,
        TRAINING,
        "preferences=runs/labels",
        "batch_size=64",
        "microbatches=2",
        "epochs=3",
        "examples=1000",
        "usd_per_chip_hour=1.5",
    )
    assert (found["verb"], found["chips"]) == ("dpo", 16)
    assert found["hbm_bytes_per_chip"] == 16 * 2**30
    train, reference = found["steps"]
    assert [train["name"], reference["name"]] == ["train", "reference"]
    assert found["fits"] and train["fits"] and reference["fits"]
    assert found["bytes_per_chip"] == train["bytes_per_chip"]
    # weights and RMSprop's means, 4 bytes each, split over 16 chips; rows of 32 numbers
    # are padded where that is how a TPU lays them out, and norms are next to nothing
    share = 4 * 70_426_624 / 16
    assert 2 * share < train["argument_bytes"] < 1.15 * 2 * share
    assert share < reference["argument_bytes"] < 1.15 * share
    assert train["executed_flops"] > train["flops"] == found["flops"]
    # the reference scores one of two parts, forward alone: a sixth
    assert reference["flops"] == pytest.approx(train["flops"] / 6, rel=0.01)
    assert found["collective_bytes"] == sum(train["collective_bytes"].values()) > 0
    assert found["step_seconds"] == max(
        train["compute_s"], train["memory_s"], train["link_s"]
    )
    bill = found["run"]
    assert bill["steps"] == 3 * 1000 // 64 == 46
    # 16 batches of the first pass, each in two parts
    hours = (46 * train["least_seconds"] + 32 * reference["least_seconds"]) / 3600
    assert bill["hours"][0] == pytest.approx(hours)
    assert bill["usd"] == pytest.approx([1.5 * 16 * one for one in bill["hours"]])
    assert json.loads((tmp_path / "plan" / "plan.json").read_text()) == found


def test_only_gradients_cross_the_network_between_slices(tmp_path):
    found = result(
        tmp_path,
        *("topology=v5e:2x4", "slices=2", "mesh.data=2", "architecture=pythia-70m"),
        *(MODEL, TRAINING, "prompts=p", "completions=c", "batch_size=16"),
    )
    assert (found["topology"], found["chips"]) == ("2 x v5e:2x4", 16)
    (train,) = found["steps"]
    # each chip hands over its eighth of the gradient, in bfloat16 or float32 and in
    # whole tiles, and a sum over two slices sends as much; never the gradient itself
    eighth = 70_426_624 / 8
    sent = train["collective_bytes"]
    assert 2 * eighth < sent["ALL_REDUCE"] < 1.5 * 4 * eighth
    assert sent.get("ALL_GATHER", 0) < 0.05 * sent["ALL_REDUCE"]
    assert train["network_s"] == pytest.approx(
        (sent["ALL_REDUCE"] + sent.get("ALL_GATHER", 0)) / 3.125e9
    )


def test_another_axis_than_data_joins_no_slices(tmp_path):
    done = plan(
        tmp_path,
        *("topology=v5e:2x4", "slices=2", "architecture=pythia-70m"),
        *(MODEL, TRAINING, "prompts=p", "completions=c", "batch_size=16"),
    )
    assert done.returncode == 2
    assert "mesh.data=1 and 2 slices" in done.stderr


def test_axes_may_split_those_of_a_slice():
    program = (
        "from rlaif_jax.config_parts import MeshConfig\n"
        "from rlaif_jax.planning.topology import tpu_topology\n"
        "from rlaif_jax.sharding.mesh import build_mesh\n"
        "for name in ('v5p:4x4x8', 'v6e:4x4'):\n"
        "    devices = tpu_topology(name).devices\n"
        "    print(build_mesh(MeshConfig(data=2), devices).devices.shape)\n"
        "print(len(tpu_topology('v5e:1x1').devices), 'chip')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    shapes = ["(2, 64, 1, 1, 1)", "(2, 8, 1, 1, 1)"]
    assert done.stdout.split("\n")[:3] == [*shapes, "1 chip"]


def test_decoding_reads_the_weights_for_every_token(tmp_path):
    found = result(
        tmp_path,
        "topology=v5e:2x2",
        "architecture=pythia-1.4b",
        "model={path: nowhere, compute_dtype: bfloat16}",
        "prompts=runs/prompts.jsonl",
        "tokens={max_prompt_tokens: 64, max_completion_tokens: 32}",
        "completion_tokens=20",
        "mesh={fsdp: 1, tensor: 4}",
        "examples=50",
    )
    (decode,) = found["steps"]
    assert decode["name"] == "decode"
    assert decode["tokens"] == 32 * 20
    assert found["run"]["steps"] == 2  # batches of 32
    # of the embedding a few rows are read; of the rest 128 MiB may stay in fast memory,
    # and all is read once in float32, to make bfloat16 of it
    weights = 2 * (1_414_647_808 - 50_304 * 2048) / 4
    assert 32 * (weights - 2**27) < decode["memory_traffic"] < 1.5 * 32 * weights
    assert decode["bound_by"] == "memory"


@pytest.mark.slow
def test_mistral_7b_sends_little_more_than_fsdp_must(tmp_path):
    found = result(
        tmp_path,
        "configs/dpo/mistral_7b.yaml",
        "topology=v5e:4x8",
        "architecture=mistral-7b-v0.1",
    )
    # weights in bfloat16 to every chip, forward and backward; gradients back
    least = 3 * 2 * 7_241_732_096 * 31 / 32
    assert found["fits"]
    assert least < found["collective_bytes"] < 1.2 * least


@pytest.mark.slow
def test_what_does_not_fit_is_told_with_what_it_wants(tmp_path):
    found = result(
        tmp_path,
        "configs/sft/mistral_7b.yaml",
        "topology=v5e:2x2",
        "architecture=mistral-7b-v0.1",
    )
    assert not found["fits"]
    assert found["bytes_per_chip"] > found["hbm_bytes_per_chip"]
    assert found["run"] is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["topology=v5e:3x3"], "not divisible by"),
        (["topology=v9:2x2"], "Invalid TPU external name"),
        (["topology=v5e:2x2", "batch_size=6"], "cannot be split over data x fsdp = 4"),
        (["topology=v5e:2x2", "architecture=null"], "architecture=mistral-7b-v0.1"),
        (["topology=v5e:2x2", "btch_size=3"], "did you mean 'batch_size'"),
        (["topology=v5e:2x2", "prompt_tokens=999"], "999"),
    ],
)
def test_wrong_input_is_explained(tmp_path, arguments, told):
    usual = ["architecture=pythia-70m", MODEL, TRAINING, "preferences=runs/labels"]
    done = plan(tmp_path, *usual, *arguments)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr.splitlines()[-1]
    assert not (tmp_path / "plan").exists()
