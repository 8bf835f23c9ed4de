"""Tests of `rlaif_jax.provenance`."""

import json
import subprocess

import jax

from rlaif_jax.config import PromptsConfig, config_hash
from rlaif_jax.config_bandit import BanditConfig
from rlaif_jax.config_file import load_config
from rlaif_jax.provenance import (
    installed_version,
    package_versions,
    source_commit,
    write_run_info,
)


def test_a_run_folder_tells_its_config_and_versions(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    bandit = BanditConfig(seeds=(3,))
    write_run_info(tmp_path / "run", bandit)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    text = (tmp_path / "run" / "run.json").read_text()
    facts = json.loads(text)
    assert BanditConfig.model_validate(config) == bandit
    assert facts["config_hash"] == config_hash(bandit)
    assert facts["packages"]["jax"] == jax.__version__
    assert facts["python"].startswith("3.")
    assert "canary" not in text


def test_a_config_that_is_read_again_is_in_its_own_order(tmp_path):
    # the first split of `fractions` has the best ranks
    source = {"format": "jsonl", "path": "p.jsonl"}
    fractions = {"sft": 0.1, "aif": 0.9}
    drawn = PromptsConfig.model_validate({"source": source, "fractions": fractions})
    write_run_info(tmp_path, drawn)
    again = load_config(PromptsConfig, [str(tmp_path / "config.json")])
    assert list(again.fractions) == ["sft", "aif"]


def test_a_package_that_is_not_installed_has_no_version():
    assert installed_version("no-such-package") is None
    assert all(package_versions().values())


def test_the_commit_is_that_of_tracked_sources_only(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", *identity, "-C", str(tmp_path), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert source_commit(tmp_path) is None
    git("init", "-q")
    (tmp_path / "__init__.py").touch()
    git("commit", "-q", "--allow-empty", "-m", "first")
    assert source_commit(tmp_path) is None  # inside a repository, but not of it
    git("add", "__init__.py")
    git("commit", "-q", "-m", "second")
    assert source_commit(tmp_path) == git("rev-parse", "HEAD")
