"""Tests of `rlaif_jax.commands.reuse`, on the lab's models: nothing is trained."""

import json
from collections import Counter

import pytest

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.forecasting import expect
from rlaif_jax.commands.piloting import pilot_bill
from rlaif_jax.commands.quickstart import study_document
from rlaif_jax.commands.stages import Stages, run_stage
from rlaif_jax.config_file import validate
from rlaif_jax.files import read_json
from rlaif_jax.study.bill import Spend, total_bill
from rlaif_jax.study.config import QuickstartConfig, StudyConfig
from rlaif_jax.study.graph import build_graph

QUIET = Console(quiet=True)


def calls(root):
    """How often each question was put, over all ledgers, and what that has cost."""
    files = [path.read_text().splitlines() for path in root.rglob("ledger.jsonl")]
    records = [json.loads(line) for line in {line for own in files for line in own}]
    asked = Counter(one["key"] for one in records if one["kind"] == "intent")
    usd = sum(one["cost_usd"] for one in records if one["kind"] == "result")
    return asked, usd


@pytest.fixture
def study(world, lab, tmp_path):
    """Has teachers write for arms on some splits, and tells their stages and price."""
    stages = Stages(tmp_path / "out" / "stages", tmp_path / "cache")

    def write(*splits, pilot=0):
        config = QuickstartConfig(seeds=(0,), workers=1)
        document = study_document(config, world=world, url=lab)
        document["prompts"]["limit"] = 40
        document["prompts"]["fractions"] = {"sft": 0.4, "aif": 0.6}
        arms = {f"on {x}": {"teacher": "weak", "sft_splits": [x]} for x in splits}
        document |= {"claims": {}, "headline": None, "arms": arms}
        config = validate(StudyConfig, document | {"forecast": {"pilot": pilot}})
        graph = build_graph(config)
        expect(config, graph, stages, tmp_path / "out", QUIET)
        every = {stage.digest: stage for arm in graph for stage in arm.all()}
        asked = [s for s in every.values() if s.verb in ("prompts", "complete")]
        stages.run(asked, workers=1, console=QUIET)
        results = [stages.result(s) for s in asked if s.verb == "complete"]
        names = Spend.model_fields
        spends = [Spend(**{name: one[name] for name in names}) for one in results]
        pilots = total_bill(pilot_bill(config, graph, stages)).all_roles
        return sum(spends, pilots)

    return write, tmp_path / "out"


@pytest.mark.parametrize("pilot", [0, 6])
def test_an_arm_more_asks_a_teacher_only_about_its_own_prompts(study, pilot):
    write, out = study
    first = write("sft")
    assert first.calls == 16 + 20  # and the baseline's
    asked, usd = calls(out)
    assert first.cost_usd == pytest.approx(usd)
    more = write("sft", "aif", pilot=pilot)
    asked, usd = calls(out)
    assert set(asked.values()) == {1}  # nobody was asked again
    assert (more.calls, more.cost_usd) == (asked.total(), pytest.approx(usd))
    if not pilot:
        assert asked.total() == 40 + 20
        assert write("sft") == first  # back again: nothing is lost of it


@pytest.fixture
def judged(drawn, written, tmp_path):
    """Runs a stage that judges the weak teacher against the strong one."""

    def judge(verb, name, *, in_use=(), **changes):
        document = {"prompts": str(drawn), "splits": ["test"], **changes}
        names = {"label": ("first", "second"), "evaluate": ("baseline", "candidate")}
        for side, teacher in zip(names[verb], ("weak", "strong"), strict=True):
            document[side] = str(written[teacher])
        folder = tmp_path / "stages" / f"{verb}-{name}"
        run_stage(verb, document, folder, frozenset({folder.name, *in_use}))
        return read_json(folder / "done.json", "result")

    return judge, tmp_path / "stages"


def test_an_evaluator_more_leaves_what_the_first_has_said(judged, endpoint):
    judge, root = judged
    first = {"evaluator": endpoint("lab-evaluator")}
    alone = judge("evaluate", "alone", **first)
    both = first | {"evaluators": [endpoint("lab-critic-weak")]}
    result = judge("evaluate", "both", **both)
    asked, usd = calls(root)
    assert set(asked.values()) == {1}
    assert result["calls"] == asked.total() == 2 * alone["calls"]
    assert result["cost_usd"] == pytest.approx(usd)
    assert result["evaluators"][0]["win_rate"] == alone["win_rate"]


def test_a_critic_that_is_shown_the_other_order_too_is_asked_about_that_alone(
    judged, endpoint
):
    judge, root = judged
    critic = {"critic": endpoint("lab-critic-strong")}
    one = judge("label", "one", orders="hashed", **critic)
    result = judge("label", "both", orders="both", **critic)
    asked, usd = calls(root)
    assert set(asked.values()) == {1}
    assert result["calls"] == asked.total() == 2 * one["calls"] > 0
    assert result["cost_usd"] == pytest.approx(usd)


def test_an_answer_serves_one_of_the_stages_in_use(judged, endpoint):
    judge, root = judged
    critic = {"critic": endpoint("lab-critic-strong"), "orders": "hashed"}
    old = judge("label", "old", **critic)
    for name in ("new", "other"):  # in one bill, so each is to tell its own calls
        judge("label", name, in_use=("label-new", "label-other"), **critic)
    asked, usd = calls(root)
    assert asked.total() == 2 * old["calls"] > 0
    assert usd == pytest.approx(2 * old["cost_usd"])
