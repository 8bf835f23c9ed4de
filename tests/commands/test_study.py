"""Tests of `study` and `quickstart`: two small arms from prompts to the report."""

import json
import math
import shlex
import statistics
from pathlib import Path

import pytest

from rlaif_jax import cli
from rlaif_jax.commands import study
from rlaif_jax.commands.collect import study_index
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.quickstart import study_document
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config_file import validate
from rlaif_jax.errors import UsageError
from rlaif_jax.inspection.runs import find_dpo_run
from rlaif_jax.study.config import QuickstartConfig, StudyConfig
from rlaif_jax.study.graph import build_graph
from rlaif_jax.study.results_file import read_results
from rlaif_jax.study.wording import points

ARMS = ("SFT weak", "SFT weak 10% + AI feedback")


@pytest.fixture(scope="module")
def document(world, lab):
    """The lab's study, cut down to two arms, 40 prompts and a few steps."""
    config = QuickstartConfig(seeds=(0,), workers=1)
    document = study_document(config, world=world, url=lab)
    document["prompts"]["limit"] = 40
    document["prompts"]["fractions"] = {"sft": 0.4, "aif": 0.6}
    document["base"]["pretrain"]["max_steps"] = 5
    document["base"]["pretrain"]["optimizer"]["warmup_steps"] = 1
    document["sft"] |= {"batch_size": 8, "epochs": 1}
    document["dpo"] |= {"batch_size": 8, "epochs": 2}
    document["arms"] = {name: document["arms"][name] for name in ARMS}
    del document["headline"]
    document["claims"] = {"a": document["claims"]["a"]}
    critic = document["critics"]["strong"]  # judges a second time
    document["evaluation"] |= {"evaluators": [critic], "direct": [list(ARMS)]}
    return document


@pytest.fixture(scope="module")
def finished(document, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLAIF_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("study")
        config = validate(StudyConfig, document)
        result = study.run(config, out, Console(quiet=True))
        yield config, out, result


def test_the_result_has_every_arm_difference_and_claim(finished):
    _, out, result = finished
    assert set(result["arms"]) == set(ARMS)
    assert all(arm["n"] == 20 for arm in result["arms"].values())
    (difference,) = result["differences"]
    rates = [result["arms"][name]["win_rate"] for name in ARMS]
    assert difference["difference"] == pytest.approx(rates[0] - rates[1])
    assert difference["low"] <= difference["difference"] <= difference["high"]
    assert result["claims"]["a"] in {"supported", "not supported", "undecided"}
    page = (out / "report.html").read_text()
    assert all(name in page for name in ARMS)


def test_figures_follow_from_the_raw_outcomes(finished):
    _, out, result = finished
    raw = json.loads((out / "results.json").read_text())["study"]["arms"]
    for name in ARMS:
        won = list(raw[name]["seeds"][0]["outcomes"].values())
        assert result["arms"][name]["win_rate"] == pytest.approx(
            100 * sum(won) / len(won)
        )
        assert 0 <= raw[name]["seeds"][0]["measures"]["accuracy"] <= 1


def test_the_evaluator_is_audited_over_the_verdicts_on_all_arms(finished):
    _, out, _ = finished
    found = read_results(out / "results.json").evaluator_audit
    assert found.evaluators == ("lab-evaluator",)
    assert found.comparisons == 40  # 20 prompts of 2 arms
    assert 0 <= found.measures["order_consistency"].value <= 1
    assert found.measures["p_first_shown"].n_prompts <= 20


def verdicts(out, arm):
    """What an arm won, prompt by prompt, from the file that its evaluation left."""
    index = json.loads((out / "study.json").read_text())["stages"]["evaluate"]
    (folder,) = [out / row["folder"] for row in index if row["arm"] == arm]
    lines = (folder / "verdicts.jsonl").read_text().splitlines()
    return {row["prompt_id"]: row["won"] for row in map(json.loads, lines)}


def test_the_claims_follow_from_the_raw_verdicts(finished):
    _, out, result = finished
    greater, lesser = verdicts(out, ARMS[1]), verdicts(out, ARMS[0])
    assert greater.keys() == lesser.keys()
    gains = [100 * (greater[key] - lesser[key]) for key in greater]
    mean = sum(gains) / len(gains)
    error = statistics.stdev(gains) / math.sqrt(len(gains))
    # t of 19 degrees; no shorter than 3 of 20 prompts, the rule of three
    half = max(2.0930 * error, 100 * 3 / 20)
    low, high = mean - half, mean + half
    told = "supported" if low > 0 else "not supported" if high <= 0 else "undecided"
    assert result["claims"] == {"a": told}
    contrast = read_results(out / "results.json").claim_results()["a"].contrast
    found = (contrast.value, contrast.low, contrast.high)
    assert found == pytest.approx((mean, low, high), rel=1e-4)
    assert f"{points(mean, signed=True)} points" in (out / "report.html").read_text()


def test_the_labels_are_audited_from_what_their_stage_left(finished):
    _, out, _ = finished
    (audit,) = read_results(out / "results.json").audits
    (done,) = (out / "stages").glob("label-*/done.json")
    told = json.loads(done.read_text())
    assert audit.arms == ARMS[1:]
    assert audit.comparisons == told["comparisons"]
    assert audit.verdicts == told["labels"]
    assert audit.identical == told["states"].get("skipped_identical", 0)
    assert audit.rates["order_consistency"].n == audit.comparisons - audit.identical


def test_every_step_tells_what_it_read_and_left_out(finished):
    _, out, _ = finished
    results = read_results(out / "results.json")
    builds = {(b.step, b.arms): b for b in results.builds}
    drawn = builds["prompts", ARMS]
    assert drawn.splits == {"aif": 24, "sft": 16, "test": 20, "validation": 10}
    assert drawn.read == drawn.kept + sum(drawn.dropped.values())
    assert builds["sft", ARMS[1:]].read == 16
    labeled = builds["label", ARMS[1:]]
    assert labeled.read == 24 == labeled.kept + sum(labeled.dropped.values())
    assert builds["dpo", ARMS[1:]].read == 2 * labeled.kept // 8 * 8  # epochs, batches
    assert [one.prompts for one in results.overlaps] == [0] * 6
    differing = {setting.key for setting in results.settings}
    assert {"sft.splits", "sft.epochs", "label", "dpo"} <= differing
    assert not any("generator" in key or "model" in key for key in differing)


def test_a_stage_alone_does_again_what_it_did(finished, tmp_path, monkeypatch):
    _, out, _ = finished
    monkeypatch.chdir(tmp_path)
    stages = read_results(out / "results.json").stages
    for verb, file in (("prompts", "prompts.jsonl"), ("sample", "completions.jsonl")):
        stage = next(one for one in stages if one.kind == verb)
        executable, *words = shlex.split(stage.command)
        assert executable == "rlaif-jax"
        assert cli.run(words) == 0
        again = tmp_path / "again" / stage.stage_id / file
        assert again.read_bytes() == (Path(stage.folder) / file).read_bytes()


def test_arms_are_judged_by_every_evaluator_and_by_each_other(finished):
    _, out, _ = finished
    found = json.loads((out / "results.json").read_text())["study"]
    for name in ARMS:
        measures = found["arms"][name]["seeds"][0]["measures"]
        assert 0 <= measures["by_lab-critic-strong_rate"] <= 1
        assert 0 < measures["evaluators_agree_rate"] <= 1
        assert 0 <= measures["length_controlled_rate"] <= 1
    (direct,) = found["direct"]
    assert [direct["a"], direct["b"]] == list(ARMS)
    assert direct["win_rate"]["n_prompts"] == 20
    assert found["self_judged"] == ["lab-critic-strong"]
    page = (out / "report.html").read_text()
    assert "lab-critic-strong judged twice" in page
    assert "Judged against each other" in page


def test_the_bill_counts_a_shared_stage_once(finished):
    _, out, result = finished
    stages = json.loads((out / "results.json").read_text())["study"]["stages"]
    teacher = [s for s in stages if s["kind"] == "complete" and len(s["arms"]) == 2]
    assert len(teacher) == 2  # the weak teacher's training completions, the baseline
    paid = sum(
        spend["cost_usd"] for stage in stages for spend in stage["spend"].values()
    )
    assert result["cost_usd"] == pytest.approx(paid)
    assert paid < sum(arm["cost_usd"] for arm in result["arms"].values())


def test_the_baseline_is_billed_to_the_evaluator_and_makes_no_policy(finished):
    _, out, result = finished
    stages = read_results(out / "results.json").stages
    (baseline,) = [one for one in stages if one.title.endswith("baseline")]
    assert [*baseline.spend] == ["evaluator"]
    (teacher,) = [s for s in stages if s.kind == "complete" and s != baseline]
    # the arm without a critic needs every text of its teacher, and nothing else
    making = result["arms"][ARMS[0]]["making_usd"]
    assert making == pytest.approx(teacher.spend["teacher"].cost_usd)


def test_running_again_runs_nothing(finished):
    config, out, result = finished
    ledgers = {p: p.read_bytes() for p in out.rglob("ledger.jsonl")}
    again = study.run(config, out, Console(quiet=True))
    assert again | {"seconds": 0} == result | {"seconds": 0}
    assert {p: p.read_bytes() for p in out.rglob("ledger.jsonl")} == ledgers


def test_a_lost_stage_is_made_again_with_the_same_numbers(finished):
    config, out, result = finished
    (arm,) = [arm for arm in build_graph(config) if arm.dpo is not None]
    folder = Stages(out / "stages", study.cache_folder() / "stages").folder(arm.sample)
    (folder / "done.json").unlink()
    again = study.run(config, out, Console(quiet=True))
    assert again["arms"] == result["arms"]


def test_notebooks_find_the_dpo_run(finished):
    config, out, _ = finished
    run = find_dpo_run(out)
    assert run.arm == ARMS[1]
    assert (run.folder / "metrics.jsonl").is_file()
    index = study_index(
        build_graph(config),
        Stages(out / "stages", study.cache_folder() / "stages"),
        out,
    )
    assert all(not row["folder"].startswith("/") for row in index["stages"]["dpo"])


def test_a_failing_stage_ends_the_study_with_its_own_error(
    document, tmp_path, monkeypatch
):
    monkeypatch.setenv("RLAIF_JAX_CACHE", str(tmp_path / "cache"))
    bad = json.loads(json.dumps(document))
    bad["teachers"]["weak"]["model"] = "lab-teacher-lazy"
    with pytest.raises(UsageError, match="lab-teacher-lazy"):
        study.run(validate(StudyConfig, bad), tmp_path, Console(quiet=True))


def test_the_quickstart_points_every_endpoint_at_the_running_lab(world):
    config = QuickstartConfig(variant="undertrained")
    document = study_document(config, world=world, url="http://127.0.0.1:9")
    assert "8765" not in json.dumps(document)
    assert document["base"]["pretrain"]["max_steps"] == 800
    validate(StudyConfig, document)


def test_a_dry_run_told_within_a_tenth_what_the_study_then_took(
    document, finished, tmp_path
):
    # five steps of training imitate nobody; answers' lengths are of the pilot
    forecast = {"pilot": 20, "imitation": 0.0}
    config = validate(StudyConfig, document | {"forecast": forecast, "dry_run": True})
    told = study.run(config, tmp_path, Console(quiet=True))["total"]
    stages = json.loads((finished[1] / "results.json").read_text())["study"]["stages"]
    for name, expected in told.items():
        took = sum(one[name] for stage in stages for one in stage["spend"].values())
        assert expected == pytest.approx(took, rel=0.1)


def test_a_dry_run_of_what_is_done_tells_what_it_took(finished):
    config, out, result = finished
    dry = config.model_copy(update={"dry_run": True})
    told = study.run(dry, out, Console(quiet=True))
    assert told["total"]["cost_usd"] == pytest.approx(result["cost_usd"])
    assert told["left"]["calls"] == told["flops_left"] == 0


def test_every_arm_tells_its_prompts_its_price_and_its_flops(finished):
    _, _, result = finished
    arms = result["arms"].values()
    assert [arm["prompts"] for arm in arms] == [40, 40]
    assert all(0 < arm["making_usd"] < arm["cost_usd"] for arm in arms)
    assert all(arm["training_flops"] > 0 for arm in arms)
    assert result["differences"][0]["across"] == []
