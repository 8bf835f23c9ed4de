"""Tests of `rlaif_jax.run_folder`."""

import json

import pytest

from rlaif_jax.config import CompleteConfig, LabelConfig
from rlaif_jax.config_file import validate
from rlaif_jax.errors import UsageError
from rlaif_jax.run_folder import claim


def config(**endpoint):
    teacher = {"api": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    document = {"prompts": "p.jsonl", "teacher": teacher | endpoint}
    return validate(CompleteConfig, document)


def test_the_same_run_may_go_on_and_another_may_not(tmp_path):
    claim(tmp_path, config())
    claim(tmp_path, config(max_in_flight=1, timeout_s=5))
    with pytest.raises(UsageError, match="another teacher"):
        claim(tmp_path, config(model="other"))
    with pytest.raises(UsageError, match="another inputs"):
        claim(tmp_path, config(), inputs="changed")


def test_only_an_endpoint_with_an_identity_may_move(tmp_path):
    moved = "http://127.0.0.1:2/v1"
    claim(tmp_path / "named", config(identity="lab"))
    claim(tmp_path / "named", config(identity="lab", base_url=moved))
    claim(tmp_path / "unnamed", config())
    with pytest.raises(UsageError):
        claim(tmp_path / "unnamed", config(base_url=moved))


def test_how_a_run_was_started_is_on_disk(tmp_path):
    claim(tmp_path, config())
    run = json.loads((tmp_path / "run.json").read_text())
    assert {"config_hash", "packages", "python", "commit"} <= run.keys()
    resolved = json.loads((tmp_path / "config.json").read_text())
    assert resolved["teacher"]["max_in_flight"] == 32


def label_config(**fields):
    critic = {"api": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    files = {"prompts": "p", "first": "a", "second": "b"}
    return validate(LabelConfig, files | {"critic": critic | fields})


def test_a_folder_of_an_older_version_goes_on_unless_a_new_option_is_used(tmp_path):
    claim(tmp_path, label_config(), inputs="x")
    path = tmp_path / "claim.json"
    older = json.loads(path.read_text())
    del older["others"], older["pairs"]
    for name in ("template", "verdicts", "votes"):
        del older["critic"][name]
    path.write_text(json.dumps(older))
    with pytest.raises(UsageError, match="another critic:"):
        claim(tmp_path, label_config(votes=3), inputs="x")
    with pytest.raises(UsageError, match="another inputs:"):
        claim(tmp_path, label_config(), inputs="y")
    with pytest.raises(UsageError, match="another critic:"):
        claim(tmp_path, label_config(model="other"), inputs="x")
    claim(tmp_path, label_config(), inputs="x")
    assert json.loads(path.read_text())["critic"]["votes"] == 1


def test_a_jurys_folder_of_an_older_version_goes_on_too(tmp_path):
    def config(*fields):
        seat = {"api": "openai", "base_url": "http://127.0.0.1:1/v1"}
        seats = [seat | {"model": "m"} | one for one in ({"votes": 2}, *fields)]
        files = {"prompts": "p", "first": "a", "second": "b"}
        critic = {"api": "jury", "critics": seats}
        return validate(LabelConfig, files | {"critic": critic})

    claim(tmp_path, config({}))
    path = tmp_path / "claim.json"
    older = json.loads(path.read_text())
    for seat in older["critic"]["critics"]:
        del seat["constrain"], seat["reasoning_effort"]
    path.write_text(json.dumps(older))
    for other in (
        ({"constrain": "json_schema"},),
        ({"model": "n"},),
        ({}, {"model": "n"}),
    ):
        with pytest.raises(UsageError, match="another critic:"):
            claim(tmp_path, config(*other))
    claim(tmp_path, config({}))


def test_an_option_that_is_gone_is_a_difference(tmp_path):
    claim(tmp_path, config())
    path = tmp_path / "claim.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rubric": "x"}))
    with pytest.raises(UsageError, match="another rubric"):
        claim(tmp_path, config())
