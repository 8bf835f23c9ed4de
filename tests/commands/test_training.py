"""Tests of the training commands, in one chain from prompts to export."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.weights import load_weights
from rlaif_jax.commands import (
    complete,
    doctor,
    dpo,
    export_hf,
    import_hf,
    inspect,
    label,
    prompts,
    reward,
    sample,
    sft,
)
from rlaif_jax.commands.console import Console
from rlaif_jax.config import (
    CompleteConfig,
    DoctorConfig,
    ExportConfig,
    ImportConfig,
    InspectConfig,
    LabelConfig,
    PromptsConfig,
    SampleConfig,
)
from rlaif_jax.config_file import validate
from rlaif_jax.config_parts import MeshConfig, RowsConfig, TokensConfig
from rlaif_jax.config_training import DpoConfig, RewardConfig, SftConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.tokenizer import load_tokenizer
from rlaif_jax.errors import CorruptDataError, DivergedError, UsageError
from rlaif_jax.files import read_records, write_records
from rlaif_jax.inspection.runs import load_model
from rlaif_jax.inspection.scorer import PairScorer
from rlaif_jax.records import Completion, Preference, Prompt
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.training.pairs import encode_preference

ROOT = Path(__file__).parents[2]
TOKENS = {"max_prompt_tokens": 12, "max_completion_tokens": 12}
OPTIMIZER = {"name": "adamw", "learning_rate": 3e-3, "max_grad_norm": 1}


def go(module, kind, document, out):
    return module.run(validate(kind, document), out, Console(quiet=True))


@pytest.fixture(scope="module")
def study(world, lab, tmp_path_factory):
    """One of everything: prompts, completions, a policy, samples, labels."""
    root = tmp_path_factory.mktemp("study")
    source = {"format": "jsonl", "path": str(world / "prompts.jsonl")}
    fractions = {"sft": 0.5, "aif": 0.5}
    document = {"source": source, "limit": 60, "fractions": fractions}
    go(prompts, PromptsConfig, document, root / "prompts")
    path = str(root / "prompts" / "prompts.jsonl")
    endpoint = {"api": "openai", "base_url": f"{lab}/v1", "identity": "lab"}
    teacher = endpoint | {"model": "lab-teacher-strong"}
    go(
        complete,
        CompleteConfig,
        {"prompts": path, "teacher": teacher},
        root / "teacher",
    )
    model = {"preset": "lab-tiny", "tokenizer": str(world / "tokenizer")}
    document = {
        "model": model,
        "prompts": path,
        "splits": ["sft"],
        "completions": str(root / "teacher" / "completions.jsonl"),
        "tokens": TOKENS,
        "optimizer": OPTIMIZER,
        "batch_size": 8,
        "epochs": 4,
    }
    result = go(sft, SftConfig, document, root / "sft")
    assert result["step"] == 15  # 30 examples x 4 epochs / 8
    document = {
        "model": {"path": str(root / "sft")},
        "prompts": path,
        "splits": ["aif"],
        "tokens": TOKENS,
        "temperature": 1.0,
    }
    go(sample, SampleConfig, document, root / "student")
    document = {
        "prompts": path,
        "splits": ["aif"],
        "first": str(root / "teacher" / "completions.jsonl"),
        "second": str(root / "student" / "completions.jsonl"),
        "critic": endpoint | {"model": "lab-critic-strong"},
        "comparisons_per_shard": 8,
    }
    go(label, LabelConfig, document, root / "labels")
    return root


def dpo_document(study, **changes):
    return {
        "model": {"path": str(study / "sft")},
        "preferences": str(study / "labels"),
        "tokens": TOKENS,
        "optimizer": OPTIMIZER | {"learning_rate": 1e-3},
        "loss": {"beta": 0.5},
        "batch_size": 8,
        "epochs": 3,
    } | changes


def metrics(folder, file="metrics.jsonl"):
    return [json.loads(s) for s in (folder / file).read_text().splitlines()]


def test_sft_lowers_the_loss_and_leaves_a_model_folder(study):
    rows = metrics(study / "sft")
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    folder = store.open_folder(study / "sft")
    assert store.latest_step(folder) == 15
    assert (folder.tokenizer_dir / "tokenizer.json").is_file()


def test_every_number_that_is_logged_is_in_the_documents(study, rewarded, tmp_path):
    loss = {"beta": 0.5, "sft": {"weight": 0.1}}
    document = dpo_document(study, loss=loss, max_steps=2, trackers=["tensorboard"])
    go(dpo, DpoConfig, document, tmp_path / "dpo")
    text = (ROOT / "docs" / "training.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    known = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    for folder in (study / "sft", study / "reward", tmp_path / "dpo"):
        for file in ("metrics.jsonl", "timing.jsonl"):
            lines = (folder / file).read_text().splitlines()
            logged = {name for line in lines for name in json.loads(line)}
            assert logged <= known, f"{folder.name}/{file}: {logged - known}"
    lines = metrics(tmp_path / "dpo")
    assert 0 <= lines[0]["truncated/completions"] <= 1
    assert lines[0]["kl_k3/chosen"] == pytest.approx(0.0, abs=1e-8)
    assert lines[1]["kl_k3/chosen"] > 0
    assert list((tmp_path / "dpo" / "tensorboard").iterdir())


def test_samples_are_one_a_prompt_and_seeded(study, tmp_path):
    rows = list(read_records(study / "student" / "completions.jsonl", Completion))
    assert len({row.prompt_id for row in rows}) == len(rows) == 30
    document = json.loads((study / "student" / "config.json").read_text())
    go(sample, SampleConfig, document | {"batch_size": 8}, tmp_path / "again")
    again = read_records(tmp_path / "again" / "completions.jsonl", Completion)
    assert [row.text for row in again] == [row.text for row in rows]


def test_dpo_starts_at_log_2_and_learns(study, tmp_path):
    result = go(dpo, DpoConfig, dpo_document(study), tmp_path / "dpo")
    rows = metrics(tmp_path / "dpo")
    assert rows[0]["loss"] == pytest.approx(np.log(2), rel=1e-4)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert result["step"] == len(rows)
    inspected = go(
        inspect,
        InspectConfig,
        {
            "policy": {"path": str(tmp_path / "dpo")},
            "reference": {"path": str(study / "sft")},
            "preferences": str(study / "labels"),
            "tokens": TOKENS,
            "beta": 0.5,
        },
        tmp_path / "inspect",
    )
    table = pq.read_table(tmp_path / "inspect" / "log_ratios.parquet")
    assert table.num_rows == inspected["pairs"]
    assert inspected["rewards/margins"] > 0
    assert (tmp_path / "inspect" / "log_ratios.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def rewarded(study):
    """The result of a reward model, trained on all shards but the first."""
    document = dpo_document(study, epochs=6)
    del document["loss"]
    return go(reward, RewardConfig, document, study / "reward")


def test_a_reward_model_learns_and_its_calibration_is_told(study, rewarded):
    rows = metrics(study / "reward")
    assert rows[0]["loss"] == pytest.approx(np.log(2), rel=1e-6)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rewarded["step"] == len(rows)
    assert rewarded["checkpoint"].endswith(f"checkpoints/{len(rows)}")
    told = json.loads((study / "reward" / "calibration.json").read_text())
    first_shard = pq.read_table(study / "labels" / "shard-000000.parquet")
    assert told["pairs"] == first_shard.num_rows == rewarded["held_out"]["pairs"]
    assert sum(b["n"] for b in told["bins"]) == told["pairs"]
    assert told["ece"] == rewarded["held_out"]["ece"]
    config = json.loads((study / "reward" / "config.json").read_text())
    again = go(reward, RewardConfig, config, study / "reward")
    assert again["held_out"] == rewarded["held_out"]


def test_a_reward_model_writes_nothing(study, rewarded, tmp_path):
    model = {"path": str(study / "reward")}
    document = json.loads((study / "student" / "config.json").read_text())
    with pytest.raises(UsageError, match="scores completions and writes none"):
        go(sample, SampleConfig, document | {"model": model}, tmp_path / "sample")
    with pytest.raises(UsageError, match="cannot be exported"):
        go(export_hf, ExportConfig, {"model": model["path"]}, tmp_path / "hf")


def test_holding_out_every_shard_is_refused(study, tmp_path):
    document = dpo_document(study, validation={"shards": 99})
    del document["loss"]
    with pytest.raises(UsageError, match="leaves none to train on"):
        go(reward, RewardConfig, document, tmp_path / "reward")


def test_every_way_to_share_eight_devices_gives_the_same_losses(study, tmp_path):
    one = json.loads((study / "sft" / "config.json").read_text())
    meshes = [{"fsdp": 8}, {"data": 2, "fsdp": 4}, {"data": 8, "fsdp": 1}]
    losses = []
    for number, mesh in enumerate(meshes):
        out = tmp_path / str(number)
        go(sft, SftConfig, one | {"mesh": mesh, "max_steps": 6}, out)
        losses.append([row["loss"] for row in metrics(out)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    np.testing.assert_allclose(losses[2], losses[0], rtol=1e-5)
    assert jax.device_count() == 8


def test_another_attention_gives_the_same_losses_and_is_written_down(study, tmp_path):
    document = json.loads((study / "sft" / "config.json").read_text())
    mesh = {"data": 2, "fsdp": 4}
    document |= {"mesh": mesh, "max_steps": 6}
    document["model"] |= {"attention": "blocks"}
    result = go(sft, SftConfig, document, tmp_path / "sft")
    assert result["attention"] == "blocks"
    assert store.open_folder(tmp_path / "sft").config.attention == "blocks"
    losses, expected = (
        [r["loss"] for r in metrics(f)] for f in (tmp_path / "sft", study / "sft")
    )
    np.testing.assert_allclose(losses, expected[:6], rtol=1e-5)
    document = json.loads((study / "student" / "config.json").read_text())
    document["model"] |= {"attention": "blocks"}
    with pytest.raises(UsageError, match="blocks cannot do decoding with a cache"):
        go(sample, SampleConfig, document, tmp_path / "sampled")


def test_a_flipped_byte_in_a_shard_is_refused(study, tmp_path):
    copy = tmp_path / "labels"
    copy.mkdir()
    for path in (study / "labels").iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    shard = next(copy.glob("shard-000001*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    document = dpo_document(study, preferences=str(copy))
    with pytest.raises(CorruptDataError, match=shard.name):
        go(dpo, DpoConfig, document, tmp_path / "dpo")


def test_what_is_no_model_folder_is_refused(study, tmp_path):
    document = dpo_document(study, model={"path": str(tmp_path)})
    with pytest.raises(UsageError, match="no model folder at"):
        go(dpo, DpoConfig, document, tmp_path / "dpo")
    with pytest.raises(UsageError, match="no model folder at"):
        go(export_hf, ExportConfig, {"model": str(tmp_path)}, tmp_path / "hf")


def test_a_finished_run_is_not_run_again_and_another_config_is_refused(study):
    document = json.loads((study / "sft" / "config.json").read_text())
    before = (study / "sft" / "timing.jsonl").read_bytes()
    assert go(sft, SftConfig, document, study / "sft")["step"] == 15
    assert (study / "sft" / "timing.jsonl").read_bytes() == before
    with pytest.raises(UsageError, match="another seed"):
        go(sft, SftConfig, document | {"seed": 9}, study / "sft")


def test_completions_of_other_prompts_are_refused(study, tmp_path):
    document = json.loads((study / "sft" / "config.json").read_text())
    (tmp_path / "none.jsonl").write_text("")
    document["completions"] = str(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="no usable completion"):
        go(sft, SftConfig, document, tmp_path / "sft")


def test_export_then_import_gives_the_same_weights(study, tmp_path):
    go(export_hf, ExportConfig, {"model": str(study / "sft")}, tmp_path / "hf")
    document = {"folder": str(tmp_path / "hf")}
    result = go(import_hf, ImportConfig, document, tmp_path / "back")
    before = store.restore_params(store.open_folder(study / "sft"))
    after = store.restore_params(store.open_folder(tmp_path / "back"))
    assert result["parameters"] == sum(x.size for x in jax.tree.leaves(before))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    with pytest.raises(UsageError, match="is not empty"):
        go(export_hf, ExportConfig, {"model": str(study / "sft")}, tmp_path / "hf")


def test_adapters_are_trained_sampled_trained_again_and_exported(study, tmp_path):
    lora = {"rank": 4, "alpha": 8.0}
    result = go(dpo, DpoConfig, dpo_document(study, lora=lora), tmp_path / "dpo")
    lines = metrics(tmp_path / "dpo")
    np.testing.assert_allclose(lines[0]["loss"], np.log(2), rtol=1e-5)
    assert lines[-1]["rewards/margins"] > 0.1
    document = {
        "model": {"path": str(tmp_path / "dpo")},
        "prompts": str(study / "prompts" / "prompts.jsonl"),
        "splits": ["test"],
        "tokens": TOKENS,
    }
    assert go(sample, SampleConfig, document, tmp_path / "samples")["completions"] == 20

    # a second run's reference is the first one's model, adapters merged
    model = {"path": str(tmp_path / "dpo")}
    again = dpo_document(study, lora=lora, model=model, max_steps=2)
    go(dpo, DpoConfig, again, tmp_path / "again")
    np.testing.assert_allclose(
        metrics(tmp_path / "again")[0]["loss"], np.log(2), rtol=1e-5
    )

    model = str(tmp_path / "dpo")
    whole = go(export_hf, ExportConfig, {"model": model}, tmp_path / "whole")
    document = {"model": model, "form": "adapter", "base_model": "team/base"}
    small = go(export_hf, ExportConfig, document, tmp_path / "adapter")
    assert small["parameters"] < 0.2 * whole["parameters"]
    files = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert "base_model: team/base" in card
    assert f"| steps | {result['step']} |" in card
    assert "| model | lab-critic-strong |" in card


def test_adapters_that_cannot_be_are_refused(study, world, tmp_path):
    lora = {"targets": ["gate"], "rank": 2}
    model = {"preset": "lab-tiny", "tokenizer": str(world / "tokenizer")}
    with pytest.raises(UsageError, match=r"random ones: give model\.path"):
        document = dpo_document(study, lora=lora, model=model)
        go(dpo, DpoConfig, document, tmp_path / "dpo")
    with pytest.raises(UsageError, match="has no adapters"):
        document = {"model": str(study / "sft"), "form": "adapter"}
        go(export_hf, ExportConfig, document, tmp_path / "hf")
    with pytest.raises(UsageError, match="leave out dtype=bfloat16"):
        validate(ExportConfig, {"model": "x", "form": "adapter", "dtype": "bfloat16"})


def test_sft_is_evaluated_on_other_prompts_and_its_best_step_is_used(study, tmp_path):
    document = json.loads((study / "sft" / "config.json").read_text())
    validation = {"splits": ["validation"], "every_steps": 2, "select": "loss"}
    document |= {"validation": validation, "max_steps": 4}
    document["optimizer"] |= {"learning_rate": 0.3}  # the longer, the worse
    result = go(sft, SftConfig, document, tmp_path / "sft")
    assert result["validation"] == {"examples": 10}
    assert result["examples"] == 30
    assert result["selected"]["data"] == {"splits": ["validation"]}
    lines = metrics(tmp_path / "sft", "validation.jsonl")
    losses = {line["step"]: line["loss"] for line in lines}
    assert sorted(losses) == [2, 4]
    best = min(losses, key=losses.__getitem__)
    assert result["selected"]["step"] == load_weights(tmp_path / "sft").step == best

    go(export_hf, ExportConfig, {"model": str(tmp_path / "sft")}, tmp_path / "hf")
    card = (tmp_path / "hf" / "README.md").read_text()
    assert f"| checkpoint | step {best}, the best of 2 by loss on validation" in card
    document = {"model": str(tmp_path / "sft"), "step": 4}
    go(export_hf, ExportConfig, document, tmp_path / "hf_4")
    card = (tmp_path / "hf_4" / "README.md").read_text()
    assert "| checkpoint | step 4, named by hand |" in card


def test_a_prompt_that_is_in_both_splits_is_not_trained_on(study, tmp_path):
    rows = list(read_records(study / "prompts" / "prompts.jsonl", Prompt))
    held_out = [row for row in rows if row.split == "validation"]
    twice = [row.model_copy(update={"split": "sft"}) for row in held_out[:3]]
    write_records(tmp_path / "prompts.jsonl", [*rows, *twice])
    document = json.loads((study / "sft" / "config.json").read_text())
    document |= {"prompts": str(tmp_path / "prompts.jsonl"), "max_steps": 1}
    document |= {"validation": {"splits": ["validation"]}}
    result = go(sft, SftConfig, document, tmp_path / "sft")
    assert (result["examples"], result["data"]["prompts_held_out"]) == (30, 3)
    with pytest.raises(UsageError, match="no prompt of split 'valid'"):
        document["validation"] = {"splits": ["valid"]}
        go(sft, SftConfig, document, tmp_path / "other")


def margins_of(policy, reference, rows):
    """Implicit reward margins of pairs, at the betas of `dpo_document`."""
    tokens = TokensConfig(**TOKENS)
    tokenizer = load_tokenizer(store.open_folder(policy).tokenizer_dir)
    pairs = [
        encode_preference(tokenizer, Preference.model_validate(row), tokens)
        for row in rows
    ]
    mesh = build_mesh(MeshConfig())
    layout = build_layout(RowsConfig(), length=64, num_devices=8)
    scorer = PairScorer(mesh=mesh, layout=layout, batch_size=16)
    logps = [scorer.logps(load_model(one, mesh), pairs) for one in (policy, reference)]
    return 0.5 * ((logps[0] - logps[1]) @ np.array([1, -1]))


class StopsAtSecond(Console):
    """Is killed when the second run of a sweep begins."""

    def say(self, text):
        if text == "sweep: learning rate 0.001":
            raise KeyboardInterrupt


def test_a_sweep_shares_the_reference_goes_on_and_tells_the_best_rate(
    study, tmp_path, capsys
):
    out, rates = tmp_path / "sweep", [1e-9, 1e-3]
    document = dpo_document(
        study,
        epochs=2,
        validation={"select": "loss"},
        checkpoint={"every_epochs": 1},
        rows={"layout": "padded"},  # which compiles few shapes
        reference_cache=str(tmp_path / "reference"),
        sweep={"learning_rates": rates},
    )
    with pytest.raises(KeyboardInterrupt):
        dpo.run(validate(DpoConfig, document), out, StopsAtSecond())
    before = (out / "lr-1e-09" / "timing.jsonl").read_bytes()
    (folder,) = (tmp_path / "reference").iterdir()
    (kept,) = (path.read_bytes() for path in folder.iterdir())
    result = go(dpo, DpoConfig, document, out)
    assert (out / "lr-1e-09" / "timing.jsonl").read_bytes() == before
    # the second run scores nothing: its file is empty, and the first one's as it was
    assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"", kept]

    told = json.loads((out / "sweep.json").read_text())
    assert told == result["sweep"]
    assert told["chosen_on"] == "validation"
    assert [run["learning_rate"] for run in told["runs"]] == rates
    lines = [metrics(out / run["folder"], "validation.jsonl") for run in told["runs"]]
    assert told["num_candidates"] == sum(map(len, lines))
    least = [min(line["loss"] for line in run) for run in lines]
    assert [run["score"] for run in told["runs"]] == least
    assert told["best"] == told["runs"][1]
    assert least[1] < least[0]
    first = pq.read_table(study / "labels" / "shard-000000.parquet")
    assert result["validation"]["pairs"] == first.num_rows
    assert result["checkpoint"].startswith(str(out / "lr-0.001"))

    # the same by another path, in other batches
    margins = margins_of(out / "lr-0.001", study / "sft", first.to_pylist())
    assert least[1] == pytest.approx(np.logaddexp(0.0, -margins).mean(), rel=1e-4)
    best = next(line for line in lines[1] if line["loss"] == least[1])
    assert best["rewards/accuracies"] == (margins > 0).mean()

    dpo.show(result, out)
    shown = capsys.readouterr().out
    assert "learning rate" in shown
    assert "lr-0.001" in shown
    with pytest.raises(UsageError, match=r"of a sweep, of which .*lr-0\.001 is the"):
        go(export_hf, ExportConfig, {"model": str(out)}, tmp_path / "hf")


def test_doctor_repeats_the_step_that_a_run_failed_at(study, tmp_path, capsys):
    document = json.loads((study / "sft" / "config.json").read_text())
    document["optimizer"]["learning_rate"] = 1e30
    out = tmp_path / "sft"
    with pytest.raises(DivergedError, match=r"doctor bundle=.*failure"):
        go(sft, SftConfig, document, out)
    result = go(doctor, DoctorConfig, {"bundle": str(out / "failure")}, tmp_path / "d")
    assert result["replay"]["step"] == len(metrics(out))
    assert result["replay"]["logged"]["loss"] is None
    assert result["replay"]["loss"] is None
    assert "embedding" in result["replay"]["gradients_not_finite"]
    doctor.show(result, tmp_path)
    shown = capsys.readouterr().out
    assert "gradients that are not finite: " in shown
    assert shown.count("human") or shown.count("Human")
    with pytest.raises(UsageError, match="no failed step"):
        go(doctor, DoctorConfig, {"bundle": str(out)}, tmp_path / "d")


def test_a_rate_that_diverges_is_told_and_does_not_end_a_sweep(study, tmp_path, capsys):
    document = json.loads((study / "sft" / "config.json").read_text())
    document |= {"validation": {"splits": ["validation"], "select": "loss"}}
    document |= {"max_steps": 2, "sweep": {"learning_rates": [1e30, 1e-3]}}
    result = go(sft, SftConfig, document, tmp_path / "sweep")
    runs = result["sweep"]["runs"]
    assert [run["score"] is None for run in runs] == [True, False]
    assert result["sweep"]["best"] == runs[1]
    sft.show(result, tmp_path / "sweep")
    assert "diverged" in capsys.readouterr().out
    document["sweep"] = {"learning_rates": [1e30]}
    with pytest.raises(DivergedError):
        go(sft, SftConfig, document, tmp_path / "sweep")
