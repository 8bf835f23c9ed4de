"""Tests of `rlaif_jax.inspection.runs`."""

import json
import shutil

import jax
import numpy as np
import pytest

from rlaif_jax.config_losses import DpoLossConfig
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.inspection.runs import find_dpo_run, load_model, read_metrics


def test_a_study_names_its_run_and_what_it_read(study):
    run = find_dpo_run(study)

    assert (run.arm, run.seed) == ("ai", 0)
    assert run.folder == study / "dpo"
    assert run.reference == study / "sft"
    assert run.preferences == study / "label"
    assert run.config.loss == DpoLossConfig(beta=0.2)
    assert find_dpo_run(study, arm="ai") == run


def test_absolute_paths_are_taken_as_they_are(study, edited_index):
    row = {"arm": "ai", "seed": 0}
    row |= {
        name: str(study / folder)
        for name, folder in (
            ("folder", "dpo"),
            ("reference", "sft"),
            ("preferences", "label"),
        )
    }

    run = find_dpo_run(edited_index(json.dumps({"stages": {"dpo": [row]}})))

    assert run == find_dpo_run(study)


def test_an_unknown_arm_is_named_with_those_there_are(study):
    with pytest.raises(UsageError, match=r"arm 'human', only of arms \['ai'\]"):
        find_dpo_run(study, arm="human")


def test_a_study_without_preference_training_is_refused(edited_index):
    with pytest.raises(UsageError, match="no DPO run"):
        find_dpo_run(edited_index('{"stages": {"sft": []}}'))


@pytest.mark.parametrize("text", ["{}", '{"stages": {"dpo": [{"arm": "ai"}]}}', "[]"])
def test_an_index_of_another_form_is_corrupt(edited_index, text):
    with pytest.raises(CorruptDataError, match=r"study\.json"):
        find_dpo_run(edited_index(text))


def test_no_study_is_no_study(tmp_path):
    with pytest.raises(UsageError, match="no study index"):
        find_dpo_run(tmp_path)


def test_a_model_is_loaded_at_the_asked_step_and_precision(study, one_device):
    newest = load_model(study / "dpo", one_device)
    older = load_model(study / "dpo", one_device, step=4, compute_dtype="bfloat16")

    assert newest.config.compute_dtype == "float32"
    assert older.config.compute_dtype == "bfloat16"
    pairs = zip(*map(jax.tree.leaves, (newest.params, older.params)), strict=True)
    assert any(np.any(np.asarray(a) != np.asarray(b)) for a, b in pairs)


def test_metrics_are_read_step_by_step(study, metrics):
    assert read_metrics(study / "dpo") == metrics
    assert [line["step"] for line in metrics] == [1, 2, 3, 4, 5]


def test_torn_metrics_are_corrupt(study, tmp_path):
    shutil.copy(study / "dpo" / "metrics.jsonl", tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')

    with pytest.raises(CorruptDataError, match=r"metrics\.jsonl"):
        read_metrics(tmp_path)
