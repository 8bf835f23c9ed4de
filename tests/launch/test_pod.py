"""The watcher brings real training through a preemption, on workers of a fake pod."""

import json
import os
import socket
import subprocess
import sys

import pytest

from rlaif_jax.commands import complete, prompts
from rlaif_jax.commands.console import Console
from rlaif_jax.config import CompleteConfig, PromptsConfig
from rlaif_jax.config_file import validate
from rlaif_jax.lab.server import run_in_thread
from rlaif_jax.lab.world import WorldSizes, write_world

NUM_STEPS = 60  # 40 prompts in batches of 8, 12 times


@pytest.fixture
def config(tmp_path):
    """A run of SFT on a small world, with a checkpoint now and then."""

    def run(module, kind, document, out):
        module.run(validate(kind, document), out, Console(quiet=True))

    world, drawn = tmp_path / "world", tmp_path / "prompts"
    sizes = WorldSizes(
        train_prompts=40, validation_prompts=4, test_prompts=8, corpus_documents=60
    )
    write_world(world, sizes=sizes)
    source = {"format": "jsonl", "path": str(world / "prompts.jsonl")}
    document = {"source": source, "fractions": {"sft": 1.0}}
    run(prompts, PromptsConfig, document, drawn)
    with run_in_thread() as url:
        teacher = {"api": "openai", "base_url": f"{url}/v1", "identity": "lab"}
        teacher |= {"model": "lab-teacher-strong", "max_tokens": 32}
        teacher |= {"usd_per_million_input_tokens": 0}
        teacher |= {"usd_per_million_output_tokens": 0}
        document = {"prompts": str(drawn / "prompts.jsonl"), "teacher": teacher}
        run(complete, CompleteConfig, document, tmp_path / "strong")
    path = tmp_path / "sft.yaml"
    text = {
        "model": {"preset": "lab-tiny", "tokenizer": str(world / "tokenizer")},
        "prompts": str(drawn / "prompts.jsonl"),
        "splits": ["sft"],
        "completions": str(tmp_path / "strong" / "completions.jsonl"),
        "tokens": {"max_prompt_tokens": 12, "max_completion_tokens": 12},
        "optimizer": {"name": "adamw", "learning_rate": 1e-3, "max_grad_norm": 1},
        "batch_size": 8,
        "epochs": 12,
        "checkpoint": {"every_steps": 10},
    }
    path.write_text(json.dumps(text))
    return path


@pytest.fixture
def pod(cloud):
    """A cloud whose workers are JAX processes of this machine, joined to one run."""
    interpreter = cloud.folder / "python"
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    interpreter.chmod(0o755)
    cloud.environment["INSTALL"] = (
        f"mkdir -p venv/bin && ln -s {interpreter} venv/bin/python"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cache = {name: value for name, value in os.environ.items() if "_CACHE_" in name}
    cloud.surround(
        **cache,
        JAX_PLATFORMS="cpu",
        XLA_FLAGS=os.environ["XLA_FLAGS"].replace("count=8", "count=1"),
        NPROC="16",
        RLAIF_COORDINATOR=f"127.0.0.1:{port}",
        RLAIF_NUM_PROCESSES="2",
        RLAIF_PROCESS_ID="{worker}",
    )
    return cloud


def test_training_ends_as_if_its_pod_had_not_been_taken_away(pod, config):
    pod.environment |= {"LOOK_S": "0.5", "WATCH_S": "2"}
    watch = pod.start("tpu_watch.sh", "sft", config, "--out", pod.out)
    pod.wait_for(pod.out / "checkpoints/10/integrity.json", watch)
    subprocess.run(
        [pod.folder / "bin/gcloud", "fake", "preempt", "pod"],
        env=pod.environment,
        check=True,
    )
    seen = len((pod.out / "metrics.jsonl").read_text().splitlines())
    assert seen < NUM_STEPS
    pod.end(watch)
    assert watch.code == 0, watch.output
    assert len(pod.calls("create")) == 2
    lines = (pod.out / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == list(range(1, NUM_STEPS + 1))
    assert (pod.out / f"checkpoints/{NUM_STEPS}/integrity.json").exists()
    assert pod.left() == []
