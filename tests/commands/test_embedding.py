"""Tests of `commands.embedding`: a study that serves its own lab."""

import urllib.request
from pathlib import Path

import pytest

import rlaif_jax.lab
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.embedding import ADDRESS, served
from rlaif_jax.config_file import read_yaml, validate
from rlaif_jax.errors import UsageError
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph

LAB = Path(rlaif_jax.lab.__file__).parent / "study.yaml"
QUIET = Console(quiet=True)


@pytest.fixture
def document(world):
    return read_yaml(LAB) | {"lab": {"world": str(world)}}


def test_the_lab_runs_while_the_study_does(document):
    config = validate(StudyConfig, document)
    with served(config, QUIET) as here:
        addresses = {here.teachers["weak"].base_url, here.evaluation.evaluator.base_url}
        assert len(addresses) == 1
        assert here.critics["strong"].base_url + "/v1" in addresses  # Anthropic's
        with urllib.request.urlopen(f"{addresses.pop()}/models") as response:
            assert response.status == 200
        assert not here.evaluation.scorer_url.startswith(ADDRESS)
        digests = [arm.evaluate.digest for arm in build_graph(here)]
    assert digests == [arm.evaluate.digest for arm in build_graph(config)]


def test_a_study_without_a_lab_is_left_as_it_is(document):
    config = validate(StudyConfig, document | {"lab": None})
    with served(config, QUIET) as here:
        assert here is config


def test_a_folder_with_another_world_is_refused(document, world):
    document["lab"] = {"world": str(world), "variant": "weak_critic"}
    refused = pytest.raises(UsageError, match="holds the default world, not the weak_")
    with refused, served(validate(StudyConfig, document), QUIET):
        pass


def test_an_endpoint_of_the_lab_needs_an_identity(document):
    document["teachers"]["weak"]["identity"] = None
    refused = pytest.raises(UsageError, match=r"'lab-teacher-weak' .* identity: lab")
    with refused, served(validate(StudyConfig, document), QUIET):
        pass
