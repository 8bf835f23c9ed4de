"""A study of ten arms that is small enough to be run many times."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rlaif_jax.commands.quickstart import study_document
from rlaif_jax.config_file import validate
from rlaif_jax.lab.world import WorldSizes, write_world
from rlaif_jax.study.config import QuickstartConfig, StudyConfig
from rlaif_jax.study.graph import build_graph

ROOT = Path(__file__).parents[2]
VARIANT = "undertrained"
SIZES = WorldSizes(
    train_prompts=100, validation_prompts=10, test_prompts=20, corpus_documents=2000
)
PROMPTS = 60  # of the training prompts
MAX_IN_FLIGHT = 8  # calls of a stage
BASE_STEPS = 30


def make_base(folder: Path) -> None:
    """Writes the world, and trains the base that every arm starts from."""
    write_world(folder / "world", variant=VARIANT, sizes=SIZES)
    config = QuickstartConfig(variant=VARIANT, seeds=(0,))
    document = study_document(config, world=folder / "world", url="http://none")
    document["base"]["pretrain"]["max_steps"] = BASE_STEPS
    (first, *_) = build_graph(validate(StudyConfig, document))
    assert first.base is not None
    path = folder / "base.json"  # JSON is YAML
    path.write_text(json.dumps(first.base.document))
    command = ["-m", "rlaif_jax", "sft", str(path), "--out", str(folder / "base")]
    subprocess.run(
        [sys.executable, *command],
        env=_environment(folder),
        stdout=subprocess.DEVNULL,
        check=True,
    )


def start(run: Path, url: str, *, workers: int) -> "subprocess.Popen[bytes]":
    """Starts the study, or takes it up, in a group of its own: workers die with it.

    Its folder is `study` below `run`, which is its home: caches are there as well. The
    world and the base are beside it.
    """
    run.mkdir(exist_ok=True)
    document = _document(run.parent, url, workers=workers)
    (run / "study.json").write_text(json.dumps(document))
    with (run / "said.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "rlaif_jax", "study", "study.json", "--out=study"],
            cwd=run,  # so that both runs are told the same words
            env=_environment(run),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _environment(home: Path) -> dict[str, str]:
    """What nothing but one run reads and writes."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(home / "compiled"),
        "RLAIF_JAX_CACHE": str(home / "cache"),
        "PYTHONPATH": str(ROOT),
    }


def _document(folder: Path, url: str, *, workers: int) -> dict[str, Any]:
    """Ten arms of every kind that there is."""
    shrunk = QuickstartConfig(variant=VARIANT, seeds=(0,), workers=workers)
    document = study_document(shrunk, world=folder / "world", url=url)
    document["prompts"]["limit"] = PROMPTS
    document["prompts"]["fractions"] = {"sft": 0.3, "aif": 0.7}
    document["base"] = {"model": {"path": str(folder / "base")}}
    often = {"checkpoint": {"every_steps": 4}}
    document["sft"] |= {"batch_size": 4, "epochs": 2, **often}
    document["dpo"] |= {"batch_size": 4, "epochs": 2, **often}
    evaluator = document["evaluation"]["evaluator"]
    models = [*document["teachers"].values(), *document["critics"].values(), evaluator]
    for model in models:
        model["max_in_flight"] = MAX_IN_FLIGHT
    document |= {"arms": _arms(), "claims": {}, "headline": None}
    return document


def _arms() -> dict[str, Any]:
    arms: dict[str, Any] = {"base": {}}
    for name in ("weak", "strong"):
        some = {"teacher": name, "sft_splits": ["sft"]}
        judged = some | {"critic": "strong", "aif_splits": ["aif"]}
        arms |= {
            f"{name}, all": {"teacher": name, "sft_splits": ["sft", "aif"]},
            f"{name}, some": some,
            f"{name}, judged": judged,
            f"{name}, its own pairs": judged | {"pairs": "student_student"},
        }
    borrowed = {"sft_splits": ["sft"], "pairs_of": "strong, judged"}
    return arms | {"weak, pairs of strong": {"teacher": "weak"} | borrowed}
