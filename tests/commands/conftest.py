"""A small lab world and its server, for every test of a command."""

import pytest

from rlaif_jax.commands import complete, prompts
from rlaif_jax.commands.console import Console
from rlaif_jax.config import CompleteConfig, PromptsConfig
from rlaif_jax.config_file import validate
from rlaif_jax.lab.server import run_in_thread
from rlaif_jax.lab.world import WorldSizes, write_world

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
