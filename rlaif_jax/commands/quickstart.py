"""`quickstart`: the whole study on the embedded lab."""

import os
from pathlib import Path

import rlaif_jax.lab
from rlaif_jax.commands import study
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.embedding import prepare_world
from rlaif_jax.config_file import read_yaml, validate
from rlaif_jax.lab.server import run_in_thread
from rlaif_jax.lab.variants import variant_named
from rlaif_jax.study.config import QuickstartConfig, StudyConfig
from rlaif_jax.typing import Json

_STUDY = Path(rlaif_jax.lab.__file__).parent / "study.yaml"

show = study.show


def run(config: QuickstartConfig, out: Path, console: Console) -> Json:
    """Writes the world, serves it, and runs the study that ships with the lab."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # no search for accelerators
    world = out / "world"
    prepare_world(world, config.variant, console)
    with run_in_thread(config.variant) as url:
        document = study_document(config, world=world, url=url)
        return study.run(validate(StudyConfig, document), out, console)


def study_document(config: QuickstartConfig, *, world: Path, url: str) -> Json:
    """The lab's study, pointed at a world's files and at a running server."""
    document = read_yaml(_STUDY)
    document["name"] = f"lab-{config.variant}"
    document["seeds"] = list(config.seeds)
    document["workers"] = config.workers
    document["prompts"]["source"]["path"] = str(world / "prompts.jsonl")
    pretrain = document["base"]["pretrain"]
    pretrain["tokenizer"] = str(world / "tokenizer")
    pretrain["max_steps"] = variant_named(config.variant).pretraining_steps
    for name in ("prompts", "completions"):
        pretrain[name] = str(world / "pretraining" / "0" / f"{name}.jsonl")
    evaluation = document["evaluation"]
    evaluation["scorer_url"] = f"{url}/score"
    endpoints = [*document["teachers"].values(), *document["critics"].values()]
    for endpoint in [*endpoints, evaluation["evaluator"]]:
        endpoint["base_url"] = f"{url}/v1" if endpoint["api"] == "openai" else url
    return document
