"""A small lab world and its server, for every test of a command."""

import pytest

from rlaif_jax.commands import complete, prompts
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.quickstart import study_document
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config import CompleteConfig, PromptsConfig
from rlaif_jax.config_file import validate
from rlaif_jax.files import read_records, write_json_list
from rlaif_jax.lab.server import run_in_thread
from rlaif_jax.lab.world import WorldSizes, write_world
from rlaif_jax.labeling.prompts import instruction_text
from rlaif_jax.records import Prompt
from rlaif_jax.study.config import QuickstartConfig, StudyConfig
from rlaif_jax.study.graph import build_graph

SIZES = WorldSizes(
    train_prompts=60, validation_prompts=10, test_prompts=20, corpus_documents=200
)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, sizes=SIZES)
    return folder


@pytest.fixture(scope="session")
def lab():
    with run_in_thread() as url:
        yield url


@pytest.fixture
def endpoint(lab):
    """Makes the config of one of the lab's models."""

    def make(model, api="openai", **changes):
        return {
            "api": api,
            "base_url": lab if api == "anthropic" else f"{lab}/v1",
            "identity": "lab",
            "model": model,
            "max_tokens": 32,
            "usd_per_million_input_tokens": 1,
            "usd_per_million_output_tokens": 2,
        } | changes

    return make


@pytest.fixture
def run():
    """Runs a verb's module on a document."""

    def call(module, kind, document, out):
        return module.run(validate(kind, document), out, Console(quiet=True))

    return call


@pytest.fixture
def drawn(world, tmp_path, run):
    source = {"format": "jsonl", "path": str(world / "prompts.jsonl")}
    document = {"source": source, "limit": 40, "fractions": {"sft": 0.25, "aif": 0.75}}
    result = run(prompts, PromptsConfig, document, tmp_path / "prompts")
    assert result["splits"] == {"aif": 30, "sft": 10, "test": 20, "validation": 10}
    return tmp_path / "prompts" / "prompts.jsonl"


@pytest.fixture
def written(drawn, tmp_path, run, endpoint):
    """Completions of both teachers for every prompt."""
    folders = {}
    for name in ("weak", "strong"):
        folders[name] = tmp_path / name
        teacher = endpoint(f"lab-teacher-{name}")
        document = {"prompts": str(drawn), "teacher": teacher, "generator": name}
        run(complete, CompleteConfig, document, folders[name])
    return {name: folder / "completions.jsonl" for name, folder in folders.items()}


@pytest.fixture
def recorded_study(world, tmp_path):
    """The lab's with recorded teachers, of texts of 8 bytes (weak) and of 40.

    Config, arms, stages and folder; an arm of it borrows labels.
    """
    rows = [
        {
            "instruction": instruction_text(prompt.messages),
            "output_1": "weakweak",
            "output_2": "strong" * 6 + "long",
            "preference": 2.0,
        }
        for prompt in read_records(world / "prompts.jsonl", Prompt)
    ]
    file = tmp_path / "made.annotations.json"
    write_json_list(file, rows)
    document = study_document(
        QuickstartConfig(seeds=(0,), workers=1),
        world=world,
        url="http://127.0.0.1:9",  # nobody is asked
    )
    document["prompts"]["limit"] = 40
    document["prompts"]["fractions"] = {"sft": 0.4, "aif": 0.6}
    document["sft"]["batch_size"] = 4
    document["teachers"] = {
        "weak": {"api": "recorded", "file": str(file), "output": "output_1"},
        "strong": {"api": "recorded", "file": str(file), "output": "output_2"},
    }
    document |= {"claims": {}, "headline": None, "forecast": {"pilot": 5}}
    judged = "SFT weak 10% + AI feedback"
    document["arms"]["borrower"] = {
        "teacher": "weak",
        "sft_splits": ["sft"],
        "sft_epochs": 3,
        "pairs_of": judged,
    }
    config = validate(StudyConfig, document)
    stages = Stages(tmp_path / "out" / "stages", tmp_path / "cache")
    return config, build_graph(config), stages, tmp_path / "out"
