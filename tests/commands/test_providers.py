"""`label` and `complete` through every API of the lab, in every way to judge."""

import importlib.util
import json

import pytest

from rlaif_jax.commands import complete, evaluate, label
from rlaif_jax.commands.console import Console
from rlaif_jax.config import CompleteConfig, EvaluateConfig, LabelConfig
from rlaif_jax.config_file import validate
from rlaif_jax.config_parts import FaultsConfig
from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.files import read_records
from rlaif_jax.lab.server import run_in_thread
from rlaif_jax.records import Completion, Label

KEY = "planted-key-1a2b3c"
HARD = [
    ("openai", {}),
    ("openai_responses", {}),
    ("anthropic", {}),
    ("openai", {"constrain": "structured_outputs"}),
    ("openai", {"constrain": "json_schema"}),
    ("openai_responses", {"constrain": "json_schema"}),
    ("anthropic", {"constrain": "json_schema", "reasoning_effort": "low"}),
]
SOFT = [
    ("openai", {}),
    ("openai_responses", {"reasoning_effort": "none"}),
    ("openai", {"constrain": "structured_outputs"}),
    ("openai", {"constrain": "json_schema"}),
    ("openai_responses", {"constrain": "json_schema"}),
    ("openai_decisions", {}),
]


@pytest.fixture
def document(drawn, written):
    """Makes the document of a run of `label`."""

    def make(critic):
        return {
            "prompts": str(drawn),
            "splits": ["aif"],
            "first": str(written["weak"]),
            "second": str(written["strong"]),
            "critic": critic,
        }

    return make


@pytest.fixture
def critic(endpoint):
    """Makes the config of the lab's weak critic behind one API."""

    def make(api, **fields):
        made = endpoint("lab-critic-weak", api, **fields)
        if api == "openai_decisions":
            del made["max_tokens"]
            made["usd_per_million_output_tokens"] = 0
        return made

    return make


@pytest.fixture
def asked(document, critic):
    """Makes the document of a run of `label` behind one API."""
    return lambda api, **fields: document(critic(api, **fields))


def labels_in(out):
    files = sorted((out / "labels").glob("*.jsonl"))
    return [one for file in files for one in read_records(file, Label)]


def ways(rows):
    return pytest.mark.parametrize(
        ("api", "how"),
        rows,
        ids=["-".join([api, *how.values()]) for api, how in rows],
    )


@ways(HARD)
def test_every_api_says_the_same_and_is_resumed_for_nothing(
    document, critic, tmp_path, run, api, how
):
    usual = run(label, LabelConfig, document(critic("openai")), tmp_path / "usual")
    one = document(critic(api, **how))
    dry = run(label, LabelConfig, one | {"dry_run": True}, tmp_path / "dry")
    result = run(label, LabelConfig, one, tmp_path / "other")
    assert result["labels"] == usual["labels"] and result["pairs"] > 0
    assert result["calls"] == usual["calls"] + ("constrain" in how)  # the probe
    assert result["estimate"] == dry["estimate"]
    assert result["estimate"]["calls"] == result["calls"]
    assert 0 < result["cost_usd"] <= result["estimate"]["at_most_usd"]
    assert [x.verdict for x in labels_in(tmp_path / "other")] == [
        x.verdict for x in labels_in(tmp_path / "usual")
    ]
    ledger = (tmp_path / "other" / "ledger.jsonl").read_bytes()
    assert run(label, LabelConfig, one, tmp_path / "other") == result
    assert (tmp_path / "other" / "ledger.jsonl").read_bytes() == ledger


@ways(SOFT)
def test_every_api_with_probabilities_tells_the_same_ones(
    document, critic, tmp_path, run, api, how
):
    hard = run(label, LabelConfig, document(critic("openai")), tmp_path / "hard")
    one = document(critic(api, verdicts="soft", **how))
    result = run(label, LabelConfig, one, tmp_path / "soft")
    assert result["labels"] == hard["labels"]  # sure of what it says, in both orders
    assert result["estimate"]["calls"] == result["calls"]
    asked = [x for x in labels_in(tmp_path / "soft") if x.state == "labeled"]
    assert len(asked) > 10
    for one in asked:
        assert max(one.p_first, 1 - one.p_first) == pytest.approx(0.7)  # its accuracy
        assert one.verdict_mass == pytest.approx(1.0)
    if api == "openai_decisions":
        assert result["completion_tokens"] == 0
        assert result["estimate"]["completion_tokens"] == 0


def test_the_bill_of_decisions_is_that_of_their_input(document, critic, tmp_path, run):
    one = critic("openai_decisions", verdicts="soft")
    del one["usd_per_million_output_tokens"]
    result = run(label, LabelConfig, document(one) | {"budget_usd": 1}, tmp_path / "x")
    assert result["cost_usd"] == pytest.approx(result["prompt_tokens"] * 1e-6)
    written = [x for x in labels_in(tmp_path / "x") if x.state == "labeled"]
    assert {x.usage.completion_tokens for x in written} == {0}


def test_a_teacher_writes_the_same_through_every_chat_api(
    drawn, written, tmp_path, run, endpoint
):
    usual = list(read_records(written["weak"], Completion))
    teacher = endpoint("lab-teacher-weak", "openai_responses")
    document = {"prompts": str(drawn), "teacher": teacher, "generator": "weak"}
    run(complete, CompleteConfig, document, tmp_path / "r")
    other = list(read_records(tmp_path / "r" / "completions.jsonl", Completion))
    assert [x.text for x in other] == [x.text for x in usual]
    assert [x.usage for x in other] == [x.usage for x in usual]


@pytest.mark.parametrize("template", ["rationale", "alpaca"])
@pytest.mark.parametrize(
    "fields",
    [
        {"api": "openai", "constrain": "json_schema"},
        {"api": "openai_decisions", "verdicts": "soft"},
    ],
)
def test_a_verdict_that_is_no_whole_reply_goes_with_no_choice(
    document, critic, tmp_path, run, template, fields
):
    if template == "alpaca":
        if importlib.util.find_spec("alpaca_eval") is None:
            pytest.skip("alpaca_eval is not installed")
        template = "alpaca_eval:claude"
    one = document(critic(**fields, template=template))
    with pytest.raises(UsageError, match=f"not go with template {template}"):
        run(label, LabelConfig, one, tmp_path / "labels")
    assert not (tmp_path / "labels").exists()


def test_an_evaluator_is_probed_too(drawn, written, tmp_path, run, critic):
    document = {
        "prompts": str(drawn),
        "candidate": str(written["strong"]),
        "baseline": str(written["weak"]),
        "evaluator": critic("openai", constrain="json_schema"),
    }
    result = run(evaluate, EvaluateConfig, document, tmp_path / "e")
    ledger = (tmp_path / "e" / "ledger.jsonl").read_text()
    assert ledger.count('"item":"probe:json_schema"') == 2  # intent and result
    assert result["calls"] == ledger.count('"kind":"intent"')


def test_each_constrained_juror_is_probed_once_whatever_its_votes(
    document, critic, tmp_path, run
):
    seats = [
        critic("openai", constrain="structured_outputs", votes=2),
        critic("openai_decisions", verdicts="soft"),
        critic("anthropic", constrain="json_schema"),
    ]
    jury = document({"api": "jury", "critics": seats})
    result = run(label, LabelConfig, jury, tmp_path / "labels")
    asked = [x for x in labels_in(tmp_path / "labels") if x.state == "labeled"]
    # two orders of (two votes, one decision, one verdict), and two probes
    assert result["calls"] == 8 * len(asked) + 2 == result["estimate"]["calls"]
    assert run(label, LabelConfig, jury, tmp_path / "labels") == result


def test_a_constraint_that_does_not_hold_stops_before_any_comparison(
    document, critic, tmp_path, run
):
    # two tokens: the reply is cut, so nothing shows that the server constrains it
    one = critic("openai", constrain="json_schema", max_tokens=2)
    with pytest.raises(RefusedError, match="constrain=json_schema does not hold") as e:
        run(label, LabelConfig, document(one), tmp_path / "labels")
    assert e.value.exit_code == 78
    ledger = (tmp_path / "labels" / "ledger.jsonl").read_text()
    assert ledger.count('"kind":"intent"') == 1


class Said(Console):
    """A console that keeps all that it is told."""

    def __init__(self):
        super().__init__(quiet=True, watch=True)
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    def update(self, name, done, total=None, note=""):
        self.lines.append(f"{name} {done} {total} {note}")


@pytest.mark.parametrize("fault", ["rate_limited", "server_error", "html", "truncated"])
@pytest.mark.parametrize(
    "api", ["openai", "openai_responses", "openai_decisions", "anthropic"]
)
def test_a_key_is_nowhere_whatever_goes_wrong(
    asked, tmp_path, monkeypatch, caplog, api, fault
):
    monkeypatch.setenv("MY_KEY", KEY)
    faults = FaultsConfig(**{fault: 0.3}, retry_after_s=0, seed=2)
    with run_in_thread(faults=faults) as url:
        base_url = url if api == "anthropic" else f"{url}/v1"
        soft = {"verdicts": "soft"} if api == "openai_decisions" else {}
        soft |= {"base_url": base_url, "api_key_env": "MY_KEY"}
        config = asked(api, max_attempts=1, max_in_flight=2, **soft)
        config["max_unanswered"] = 30
        said = Said()
        result = label.run(validate(LabelConfig, config), tmp_path / "labels", said)
    assert result["states"]["failed"] > 0
    files = [path for path in (tmp_path / "labels").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in caplog.text + str(said.lines) + json.dumps(result)
    host = base_url.split("/")[2]
    assert f"asking lab-critic-weak at {host} (api={api})" in said.lines
