"""Tests of `rlaif_jax.commands.stages`."""

from pathlib import Path

import pytest

import rlaif_jax.lab
from rlaif_jax.commands import study
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config_file import load_config, read_yaml
from rlaif_jax.errors import UsageError
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph

LAB = Path(rlaif_jax.lab.__file__).parent / "study.yaml"
EVALUATOR = read_yaml(LAB)["evaluation"]["evaluator"]


def lab_study(*overrides):
    return load_config(StudyConfig, [str(LAB), "lab=null", *overrides])


def test_every_stage_of_the_lab_study_can_run(tmp_path):
    stages = [stage for arm in build_graph(lab_study()) for stage in arm.all()]
    Stages(tmp_path / "stages", tmp_path / "cache").require_valid(stages)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            [f"evaluation.evaluators=[{EVALUATOR}]"],
            r"stage 'evaluate sample .* evaluators\.0 is an evaluator already",
        ),
        (
            [
                "evaluation.evaluator={api: recorded, file: nowhere/annotations.json}",
                "evaluation.orders=hashed",
            ],
            r"stage 'evaluate sample .* orders is for critics that are asked",
        ),
    ],
)
def test_a_study_refuses_what_a_stage_would_refuse_before_anything_is_asked(
    overrides, message, tmp_path, monkeypatch
):
    monkeypatch.setenv("RLAIF_JAX_CACHE", str(tmp_path / "cache"))
    budget = ["budget.match=usd", "budget.usd=1", "forecast.pilot=2"]
    for more in ([], ["dry_run=true"], budget):
        with pytest.raises(UsageError, match=message):
            study.run(lab_study(*overrides, *more), tmp_path, Console(quiet=True))
    assert not (tmp_path / "stages").exists()
    assert not (tmp_path / "pilot").exists()
