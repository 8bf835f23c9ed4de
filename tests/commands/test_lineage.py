"""Tests of `rlaif_jax.commands.lineage`, on documents as the commands write them."""

import json

import pytest

from rlaif_jax.checkpoint.selection import Candidate, Selection
from rlaif_jax.commands.lineage import read_lineage
from rlaif_jax.errors import UsageError

TOKENS = {"max_prompt_tokens": 8, "max_completion_tokens": 16, "template": "chat"}
OPTIMIZER = {"name": "adamw", "learning_rate": 5e-7}


def write(folder, **documents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))


def training(model, **fields):
    return {
        "model": model,
        "optimizer": OPTIMIZER,
        "tokens": TOKENS,
        "batch_size": 4,
        "epochs": 2,
    } | fields


@pytest.fixture
def runs(tmp_path):
    """A base from the hub, sft and dpo on it, and what both were trained on."""
    write(tmp_path / "base", config={"repo": "team/model", "revision": "a" * 40})
    source = {"format": "jsonl", "path": "/home/somebody/secret/chats.jsonl"}
    kept = {"prompts": 90, "read": 100, "splits": {"sft": 30, "aif": 60}}
    write(tmp_path / "prompts", config={"source": source}, prompts=kept)
    made = {"completions": 90, "cost_usd": 3.5}
    teacher = {"teacher": {"model": "teacher-1"}}
    write(tmp_path / "teacher", config=teacher, completions=made)
    labels = {"comparisons": 60, "labels": {"first": 40, "tie": 20}, "pairs": 40}
    write(
        tmp_path / "labels",
        config={"critic": {"model": "critic-2"}, "orders": "both"},
        label=labels | {"cost_usd": 12.25},
    )
    sft = training(
        {"path": str(tmp_path / "base")},
        loss="sequence_sum",
        splits=["sft"],
        prompts=str(tmp_path / "prompts" / "prompts.jsonl"),
        completions=str(tmp_path / "teacher" / "completions.jsonl"),
    )
    write(tmp_path / "sft", config=sft, training={"step": 45})
    dpo = training(
        {"path": str(tmp_path / "sft")},
        preferences=str(tmp_path / "labels"),
        loss={"name": "dpo", "beta": 0.05},
        lora={"rank": 8, "alpha": 16.0},
    )
    write(tmp_path / "dpo", config=dpo, training={"step": 20})
    metrics = '{"step": 20, "loss": 0.61234, "rewards/accuracies": 0.75}\n'
    (tmp_path / "dpo" / "metrics.jsonl").write_text(metrics)
    return tmp_path


def test_every_stage_is_told_back_to_the_base(runs):
    lineage = read_lineage(runs / "dpo")
    assert lineage.base_model == "team/model"
    assert lineage.teachers == ("critic-2", "teacher-1")
    assert [section.title for section in lineage.sections] == [
        "Direct preference optimization",
        "AI feedback",
        "SFT",
        "Teacher's completions",
        "Prompts",
    ]
    dpo, feedback, sft, completions, prompts = (s.facts for s in lineage.sections)
    assert dpo["loss"] == "name dpo, beta 0.05"
    assert dpo["adapters"] == "rank 8, alpha 16"
    assert (dpo["last loss"], dpo["last rewards/accuracies"]) == ("0.6123", "0.75")
    assert feedback["comparisons"] == "60 (first 40, tie 20)"
    assert feedback["price"] == "12.25 USD"
    assert (sft["steps"], sft["loss"]) == ("45", "sequence_sum")
    assert completions["price"] == "3.50 USD"
    assert prompts == {
        "source": "jsonl, chats.jsonl",  # and nobody's folder
        "kept": "90 of 100",
        "splits": "sft",
    }


def test_the_arm_is_told_and_evaluations_come_first(runs):
    row = {"arm": "aif", "seed": 1, "folder": "dpo"}
    write(runs, study={"stages": {"dpo": [row, row | {"folder": "other", "seed": 2}]}})
    result = {"win_rate": 57.25, "standard_error": 1.5, "n_total": 805}
    asked = {"evaluator": {"model": "evaluator-3"}}
    write(runs / "evaluation", win_rate=result, config=asked)
    lineage = read_lineage(runs / "dpo", [runs / "evaluation"])
    evaluation, dpo = lineage.sections[:2]
    assert evaluation.facts["win rate"] == "57.2 ± 1.5 % (standard error)"
    assert evaluation.facts["evaluator"] == "evaluator-3"
    assert dpo.facts["arm of the study"] == "aif (seed 1)"


def test_recorded_texts_and_verdicts_have_no_model(runs):
    recorded = {"api": "recorded", "path": "file.jsonl"}
    write(runs / "teacher", config={"teacher": recorded})
    write(runs / "labels", config={"critic": recorded, "orders": "both"})
    lineage = read_lineage(runs / "dpo")
    assert lineage.teachers == ("recorded verdicts", "recorded completions")


def test_a_jury_is_told_by_its_models(runs):
    recorded = {"api": "recorded", "file": "x.json"}
    jury = {"api": "jury", "critics": [{"api": "openai", "model": "m"}, recorded]}
    write(runs / "labels", config={"critic": jury, "orders": "both"})
    feedback = read_lineage(runs / "dpo").sections[1]
    assert feedback.facts["model"] == "m and recorded verdicts"


def test_limits_are_told_as_they_were_kept(runs):
    assert read_lineage(runs / "dpo").sections[0].facts["prompt, completion"] == (
        "at most 8, 16 tokens"
    )
    tokens = TOKENS | {"compat": "paper", "kept": "start"}
    config = training({"path": str(runs / "base")}, loss="x", tokens=tokens)
    write(runs / "sft", config=config)
    told = read_lineage(runs / "sft").sections[0].facts["prompt, completion"]
    assert told == (
        "at most 24 tokens together, as in the paper: else the prompt is cut to its"
        " start of 8, and then the completion to 16"
    )


def test_what_is_gone_is_left_out(runs):
    (runs / "labels" / "label.json").unlink()
    (runs / "sft" / "config.json").unlink()
    titles = [section.title for section in read_lineage(runs / "dpo").sections]
    assert titles == ["Direct preference optimization"]
    assert read_lineage(runs / "absent").sections == []


def test_folders_that_name_each_other_end(runs):
    write(runs / "loop", config=training({"path": str(runs / "loop")}))
    assert len(read_lineage(runs / "loop").sections) == 20


def test_an_evaluation_that_is_none_is_told(runs):
    with pytest.raises(UsageError, match="evaluation result"):
        read_lineage(runs / "dpo", [runs / "sft"])


def test_a_choice_among_checkpoints_is_told_unless_another_is_named(runs):
    candidates = (Candidate(10, 1, 0.7), Candidate(20, 2, 0.65))
    Selection(
        by="loss", data={"shards": 1}, num_items=1200, candidates=candidates
    ).write(runs / "dpo")
    told = "step 20, the best of 2 by loss on validation (0.65) (1,200 examples)"
    assert read_lineage(runs / "dpo").sections[0].facts["checkpoint"] == told
    named = read_lineage(runs / "dpo", step=10)
    assert named.sections[0].facts["checkpoint"] == "step 10, named by hand"
    assert "checkpoint" not in named.sections[2].facts


def test_pairs_that_a_data_set_judged_are_told_by_its_name_and_commit(runs):
    source = {"format": "hh", "path": "team/pairs", "reader": "huggingface"}
    file = {"format": "hh", "path": "/home/somebody/more.jsonl", "reader": "file"}
    kept = {"prompts": 9, "read": 10, "splits": {"sft": 3, "aif": 6}}
    write(
        runs / "judged",
        config={"source": source},
        prompts=kept | {"sources": [source | {"revision": "c" * 40}, file]},
    )
    dpo = training(
        {"path": str(runs / "sft")},
        preferences=str(runs / "judged" / "preferences" / "aif"),
        loss={"name": "dpo", "beta": 0.05},
    )
    write(runs / "dpo", config=dpo)

    told = read_lineage(runs / "dpo").sections[1]

    assert told.facts == {
        "source": f"hh, team/pairs at {'c' * 40}; hh, more.jsonl",
        "kept": "9 of 10",
        "splits": "aif",
    }
