"""Tests of `prompts`, `complete`, `label` and `evaluate`, over HTTP with the lab."""

import gzip
import json

import pytest

from rlaif_jax.commands import complete, evaluate, label, prompts
from rlaif_jax.commands.console import Console
from rlaif_jax.config import CompleteConfig, EvaluateConfig, LabelConfig, PromptsConfig
from rlaif_jax.config_file import validate
from rlaif_jax.config_parts import FaultsConfig
from rlaif_jax.data.manifest import read_manifest
from rlaif_jax.data.shards import read_shard
from rlaif_jax.errors import PreemptedError, RefusedError, UsageError
from rlaif_jax.files import read_records, write_records
from rlaif_jax.lab.server import run_in_thread
from rlaif_jax.records import Completion, JudgedCompletion, Label, Prompt


def label_document(drawn, written, critic):
    return {
        "prompts": str(drawn),
        "splits": ["aif"],
        "first": str(written["weak"]),
        "second": str(written["strong"]),
        "critic": critic,
        "comparisons_per_shard": 8,
    }


def test_completions_come_in_prompt_order_with_a_price(drawn, written):
    ids = [prompt.prompt_id for prompt in read_records(drawn, Prompt)]
    weak = list(read_records(written["weak"], Completion))
    assert [completion.prompt_id for completion in weak] == ids
    assert all(completion.cost_usd > 0 for completion in weak)
    folder = written["weak"].parent
    result = json.loads((folder / "completions.json").read_text())
    assert result["calls"] == len(ids)


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_labels_become_sealed_shards_without_ties(
    drawn, written, tmp_path, run, endpoint, api
):
    critic = endpoint("lab-critic-strong", api)
    document = label_document(drawn, written, critic)
    out = tmp_path / "labels"
    result = run(label, LabelConfig, document, out)
    files = sorted((out / "labels").glob("*.jsonl"))
    labels = [label for file in files for label in read_records(file, Label)]
    assert result["comparisons"] == len(labels) == 30
    assert sum(result["labels"].values()) == 30
    assert result["pairs"] == result["labels"]["first"] + result["labels"]["second"]
    manifest = read_manifest(out)
    assert manifest.is_final
    assert [entry.seq for entry in manifest.entries] == [0, 1, 2, 3]
    rows = [row for entry in manifest.entries for row in read_shard(out, entry)]
    assert len(rows) == result["pairs"] > 0
    by_pair = {one.pair_id: one for one in labels}
    for row in rows:
        first = by_pair[row.pair_id].verdict == "first"
        assert (row.chosen_generator == "weak") == first
        assert row.split == "aif"


def test_running_again_asks_nothing_and_changes_nothing(
    drawn, written, tmp_path, run, endpoint
):
    document = label_document(drawn, written, endpoint("lab-critic-strong"))
    out = tmp_path / "labels"
    first = run(label, LabelConfig, document, out)
    ledger = (out / "ledger.jsonl").read_bytes()
    shards = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    assert run(label, LabelConfig, document, out) == first
    assert (out / "ledger.jsonl").read_bytes() == ledger
    assert {p.name: p.read_bytes() for p in out.glob("*.parquet")} == shards


def test_a_folder_of_other_labels_is_refused(drawn, written, tmp_path, run, endpoint):
    document = label_document(drawn, written, endpoint("lab-critic-strong"))
    run(label, LabelConfig, document, tmp_path / "labels")
    document["critic"] = endpoint("lab-critic-weak")
    with pytest.raises(UsageError, match="another critic"):
        run(label, LabelConfig, document, tmp_path / "labels")


def test_a_missing_completion_is_named(drawn, written, tmp_path, run, endpoint):
    lines = written["strong"].read_text().splitlines(keepends=True)
    written["strong"].write_text("".join(lines[1:]))
    document = label_document(drawn, written, endpoint("lab-critic-strong"))
    document["splits"] = []
    with pytest.raises(UsageError, match="lacks completions of 1 of 70 prompts"):
        run(label, LabelConfig, document, tmp_path / "labels")


def test_an_unknown_split_and_an_unknown_price_are_refused(
    drawn, written, tmp_path, run, endpoint
):
    document = label_document(drawn, written, endpoint("lab-critic-strong"))
    with pytest.raises(UsageError, match="no prompt of split 'dpo'"):
        run(label, LabelConfig, document | {"splits": ["dpo"]}, tmp_path / "a")
    free = endpoint("lab-critic-strong", usd_per_million_input_tokens=None)
    free |= {"base_url": "https://api.openai.com/v1", "api_key_env": "HOME"}
    with pytest.raises(RefusedError, match="price"):
        run(label, LabelConfig, document | {"critic": free}, tmp_path / "b")


def test_an_unknown_model_stops_the_run_with_its_name(drawn, tmp_path, run, endpoint):
    document = {"prompts": str(drawn), "teacher": endpoint("lab-teacher-huge")}
    with pytest.raises(UsageError, match="lab-teacher-huge"):
        run(complete, CompleteConfig, document, tmp_path / "x")


def test_a_budget_stops_the_run_and_more_money_continues_it(
    drawn, tmp_path, run, endpoint
):
    teacher = endpoint("lab-teacher-weak", max_in_flight=1)
    document = {"prompts": str(drawn), "teacher": teacher, "budget_usd": 2e-4}
    with pytest.raises(RefusedError, match="budget") as caught:
        run(complete, CompleteConfig, document, tmp_path / "x")
    assert caught.value.exit_code == 78
    before = (tmp_path / "x" / "ledger.jsonl").read_text().count('"result"')
    document["budget_usd"] = 1.0
    assert run(complete, CompleteConfig, document, tmp_path / "x")["completions"] == 70
    results = (tmp_path / "x" / "ledger.jsonl").read_text().count('"result"')
    assert 0 < before < results == 70


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_a_server_without_a_batch_api_is_told(drawn, tmp_path, run, endpoint, api):
    teacher = endpoint("lab-teacher-weak", api)
    document = {"prompts": str(drawn), "teacher": teacher, "engine": "batch"}
    with pytest.raises(UsageError, match=r"no Batch API at base_url: engine=local"):
        run(complete, CompleteConfig, document, tmp_path / "x")
    document["engine"] = "local"  # nothing of it is under way
    assert run(complete, CompleteConfig, document, tmp_path / "x")["completions"] == 70


NOBODY = "http://127.0.0.1:1/v1"  # a call there would fail the run


class Said(Console):
    """A console that keeps what is said."""

    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []
        self.notes = []

    def say(self, text):
        self.lines.append(text)

    def update(self, name, done, total=None, note=""):
        self.notes.append(note)


def test_a_dry_run_of_labels_asks_nothing_and_writes_nothing(
    drawn, written, tmp_path, run, endpoint, capsys
):
    document = label_document(drawn, written, endpoint("lab-critic-strong"))
    dry = endpoint("lab-critic-strong", base_url=NOBODY)
    dry = run(
        label, LabelConfig, document | {"critic": dry, "dry_run": True}, tmp_path / "d"
    )
    assert dry.keys() == {"dry_run", "estimate", "budget_usd"}
    assert not (tmp_path / "d").exists()
    label.show(dry, tmp_path / "d")
    told = capsys.readouterr().out
    assert told.startswith("estimate: ") and "nothing was asked" in told

    result = run(label, LabelConfig, document, tmp_path / "labels")
    estimate = dry["estimate"]
    assert result["estimate"] == estimate
    assert result["calls"] == estimate["calls"]  # no call failed
    # 30 comparisons in both orders, but for those of equal texts
    assert estimate["calls"] == 60 - 2 * result["states"].get("skipped_identical", 0)
    assert 0 < result["cost_usd"] <= estimate["at_most_usd"]
    label.show(result, tmp_path / "labels")
    assert f"estimated: {estimate['calls']} calls, " in capsys.readouterr().out


def test_an_estimate_counts_votes_and_jurors_as_they_are_asked(
    drawn, written, tmp_path, run, endpoint
):
    seats = [
        endpoint("lab-critic-strong", usd_per_million_input_tokens=10, max_tokens=64),
        endpoint("lab-evaluator", template="rationale"),
    ]
    critics = {
        "one": seats[0],
        "other": seats[1],
        "votes": seats[0] | {"votes": 2},
        "jury": {"api": "jury", "critics": seats},
    }
    told = {}
    for name, critic in critics.items():
        document = label_document(drawn, written, critic)
        dry = document | {"dry_run": True}
        told[name] = run(label, LabelConfig, dry, tmp_path / "dry")["estimate"]
        result = run(label, LabelConfig, document, tmp_path / name)
        assert result["calls"] == told[name]["calls"] > 0
        assert result["estimate"] == told[name]
        assert 0 < result["cost_usd"] <= told[name]["at_most_usd"]
    for name, value in told["jury"].items():
        assert value == pytest.approx(told["one"][name] + told["other"][name])
        assert told["votes"][name] == pytest.approx(2 * told["one"][name])


def test_an_estimate_counts_what_jurors_share_once(
    drawn, written, tmp_path, run, endpoint
):
    cheap, dear = (
        endpoint("lab-critic-strong", usd_per_million_input_tokens=price, votes=votes)
        for price, votes in ((1, 1), (10, 2))
    )
    told = {}
    for name, critics in {"one": [cheap], "jury": [cheap, dear]}.items():
        critic = {"api": "jury", "critics": critics} if len(critics) > 1 else cheap
        document = label_document(drawn, written, critic)
        told[name] = run(label, LabelConfig, document, tmp_path / name)
    # the second juror's first vote is the first juror's question
    for result, times in ((told["one"], 1), (told["jury"], 2)):
        calls = times * told["one"]["calls"]
        assert result["estimate"]["calls"] == calls
        ledger = tmp_path / ("one" if times == 1 else "jury") / "ledger.jsonl"
        assert ledger.read_text().count('"intent"') == calls


def test_a_dry_run_of_completions_asks_nothing_and_writes_nothing(
    drawn, tmp_path, run, endpoint, capsys
):
    teacher = endpoint("lab-teacher-weak", base_url=NOBODY)
    document = {"prompts": str(drawn), "teacher": teacher, "dry_run": True}
    result = run(complete, CompleteConfig, document, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    estimate = result["estimate"]
    assert (estimate["calls"], estimate["completion_tokens"]) == (70, 70 * 16)
    messages = [one.messages for one in read_records(drawn, Prompt)]
    num_bytes = sum(len(turn.content.encode()) for one in messages for turn in one)
    # half of 32 tokens an answer; a prompt of one turn has at most 32 tokens besides
    most = num_bytes + 70 * 32
    assert estimate["at_most_usd"] == pytest.approx((most + 70 * 32 * 2) * 1e-6)
    complete.show(result, tmp_path / "x")
    assert "nothing was asked" in capsys.readouterr().out


def test_a_dry_run_needs_a_price_too(drawn, tmp_path, run, endpoint):
    teacher = endpoint("m", usd_per_million_input_tokens=None)
    teacher |= {"base_url": "https://api.openai.com/v1"}
    document = {"prompts": str(drawn), "teacher": teacher, "dry_run": True}
    with pytest.raises(RefusedError, match="price"):
        run(complete, CompleteConfig, document, tmp_path / "x")


def test_what_is_recorded_costs_nothing_to_replay(drawn, tmp_path, run):
    file = tmp_path / "none.json"
    teacher = {"api": "recorded", "file": str(file)}
    document = {"prompts": str(drawn), "teacher": teacher, "dry_run": True}
    estimate = run(complete, CompleteConfig, document, tmp_path / "x")["estimate"]
    assert set(estimate.values()) == {0}


def test_the_estimate_is_said_before_the_first_call(drawn, tmp_path, endpoint):
    teacher = endpoint("lab-teacher-weak")
    document = {"prompts": str(drawn), "teacher": teacher, "budget_usd": 0}
    said = Said()
    with pytest.raises(RefusedError, match="budget reached"):
        complete.run(validate(CompleteConfig, document), tmp_path / "x", said)
    assert said.lines[0].startswith("estimate: 70 calls, ")
    assert said.lines[1].startswith("budget_usd=0 is less than that")


def test_the_progress_tells_what_was_spent_beside_the_estimate(
    drawn, tmp_path, endpoint
):
    prices = dict.fromkeys(
        ("usd_per_million_input_tokens", "usd_per_million_output_tokens"), 10000
    )
    teacher = endpoint("lab-teacher-weak", max_in_flight=1, **prices)
    config = validate(CompleteConfig, {"prompts": str(drawn), "teacher": teacher})
    said = Said()
    result = complete.run(config, tmp_path / "x", said)
    expected = f"of about {result['estimate']['cost_usd']:.2f} USD"
    assert said.notes[-1] == f"{result['cost_usd']:.2f} {expected}"
    spent = [float(note.split()[0]) for note in said.notes]
    assert spent == sorted(spent) and 0 < spent[0] < spent[-1]


def test_the_strong_teacher_beats_the_weak_one(
    drawn, written, tmp_path, run, endpoint, capsys
):
    document = {
        "prompts": str(drawn),
        "candidate": str(written["strong"]),
        "baseline": str(written["weak"]),
        "evaluator": endpoint("lab-evaluator"),
    }
    strong = run(evaluate, EvaluateConfig, document, tmp_path / "strong_wins")
    assert strong["win_rate"] > 60
    assert strong["n_total"] == 70
    judged = list(
        read_records(tmp_path / "strong_wins" / "verdicts.jsonl", JudgedCompletion)
    )
    assert 100 * sum(one.won for one in judged) / 70 == pytest.approx(
        strong["win_rate"]
    )
    document["candidate"] = str(written["weak"])
    document["against"] = str(tmp_path / "strong_wins")
    weak = run(evaluate, EvaluateConfig, document, tmp_path / "itself")
    assert weak["win_rate"] == 50.0
    assert weak["n_draws"] == 70
    assert weak["against"]["difference"]["value"] == pytest.approx(
        50.0 - strong["win_rate"]
    )
    evaluate.show(weak, tmp_path / "itself")
    said = capsys.readouterr().out
    assert "bootstrap over prompts: " in said
    assert "a true difference of 3 points would be seen by" in said


def test_a_dry_run_of_an_evaluation_asks_nothing_and_writes_nothing(
    drawn, written, tmp_path, run, endpoint, capsys
):
    document = {
        "prompts": str(drawn),
        "candidate": str(written["strong"]),
        "baseline": str(written["weak"]),
        "evaluator": endpoint("lab-evaluator"),
    }
    nobody = {"evaluator": endpoint("lab-evaluator", base_url=NOBODY)}
    dry = run(
        evaluate, EvaluateConfig, document | nobody | {"dry_run": True}, tmp_path / "d"
    )
    assert not (tmp_path / "d").exists()
    evaluate.show(dry, tmp_path / "d")
    assert "nothing was asked" in capsys.readouterr().out
    result = run(evaluate, EvaluateConfig, document, tmp_path / "e")
    assert result["estimate"] == dry["estimate"]
    assert 0 < result["calls"] == result["estimate"]["calls"] <= 140
    assert 0 < result["cost_usd"] <= result["estimate"]["at_most_usd"]
    evaluate.show(result, tmp_path / "e")
    assert f"estimated: {result['calls']} calls, " in capsys.readouterr().out
    with pytest.raises(UsageError, match="asks nobody"):
        validate(EvaluateConfig, {"recorded": "x.json", "dry_run": True})


def test_recorded_preferences_are_replayed(tmp_path, run):
    rows = [
        {
            "instruction": f"question {n}",
            "output_1": f"one {n}",
            "output_2": f"two {n}",
            "generator_1": "a",
            "generator_2": "b",
            "annotator": "somebody",
            "preference": preference,
        }
        for n, preference in enumerate([1, 2, 2, 0, None])
    ]
    file = tmp_path / "x.annotations.json.gz"
    file.write_bytes(gzip.compress(json.dumps(rows).encode()))
    result = run(evaluate, EvaluateConfig, {"recorded": str(file)}, tmp_path / "e")
    assert result["win_rate"] == 62.5  # (0 + 1 + 1 + 0.5) / 4
    assert (result["n_wins"], result["n_draws"], result["n_total"]) == (2, 1, 4)

    source = {"format": "alpaca_eval", "path": str(file)}
    fractions = {"aif": 1.0}
    document = {"source": source, "fractions": fractions}
    run(prompts, PromptsConfig, document, tmp_path / "p")
    path = str(tmp_path / "p" / "prompts.jsonl")
    sides = {}
    for side in ("output_1", "output_2"):
        teacher = {"api": "recorded", "file": str(file), "output": side}
        out = tmp_path / side
        run(complete, CompleteConfig, {"prompts": path, "teacher": teacher}, out)
        sides[side] = str(out / "completions.jsonl")
    document = {
        "prompts": path,
        "first": sides["output_1"],
        "second": sides["output_2"],
        "critic": {"api": "recorded", "file": str(file)},
    }
    result = run(label, LabelConfig, document, tmp_path / "l")
    assert result["labels"] == {"first": 1, "second": 2, "tie": 1, "failed": 1}
    assert result["pairs"] == 3


@pytest.fixture
def flaky(endpoint):
    """The lab, with an error for every tenth request."""
    with run_in_thread(faults=FaultsConfig(server_error=0.1, seed=1)) as url:
        yield lambda model: endpoint(model, base_url=f"{url}/v1", max_attempts=1)


def test_labels_wait_for_answers_that_did_not_come(
    drawn, written, tmp_path, run, endpoint, flaky
):
    document = label_document(drawn, written, flaky("lab-critic-strong"))
    out, unbroken = tmp_path / "flaky", tmp_path / "unbroken"
    with pytest.raises(PreemptedError, match="got no answer"):
        run(label, LabelConfig, document, out)
    assert not read_manifest(out).is_final
    assert not (out / "label.json").exists()
    document["critic"] = endpoint("lab-critic-strong")
    again = run(label, LabelConfig, document, out)
    assert again["labels"] == run(label, LabelConfig, document, unbroken)["labels"]
    assert [entry.sha256 for entry in read_manifest(out).entries] == [
        entry.sha256 for entry in read_manifest(unbroken).entries
    ]


def test_unanswered_questions_may_be_left_out(drawn, written, tmp_path, run, flaky):
    document = label_document(drawn, written, flaky("lab-critic-strong"))
    document["max_unanswered"] = 30
    result = run(label, LabelConfig, document, tmp_path / "labels")
    assert 0 < result["states"]["failed"] == result["labels"]["failed"] < 15
    assert read_manifest(tmp_path / "labels").is_final


def test_no_win_rate_and_no_completions_without_all_answers(
    drawn, written, tmp_path, run, flaky, endpoint
):
    document = {
        "prompts": str(drawn),
        "candidate": str(written["strong"]),
        "baseline": str(written["weak"]),
        "evaluator": flaky("lab-evaluator"),
    }
    with pytest.raises(PreemptedError, match="got no answer"):
        run(evaluate, EvaluateConfig, document, tmp_path / "e")
    assert not (tmp_path / "e" / "win_rate.json").exists()
    document["evaluator"] = endpoint("lab-evaluator")
    assert run(evaluate, EvaluateConfig, document, tmp_path / "e")["n_total"] == 70
    document = {"prompts": str(drawn), "teacher": flaky("lab-teacher-weak")}
    with pytest.raises(PreemptedError, match="got no answer"):
        run(complete, CompleteConfig, document, tmp_path / "c")
    assert not (tmp_path / "c" / "completions.jsonl").exists()


def test_prompts_keep_out_of_another_runs_folder(drawn, world, tmp_path, run):
    source = {"format": "jsonl", "path": str(world / "prompts.jsonl")}
    before = drawn.read_bytes()
    with pytest.raises(UsageError, match="another fractions, inputs, limit"):
        run(prompts, PromptsConfig, {"source": source, "limit": 5}, drawn.parent)
    assert drawn.read_bytes() == before


def labels_in(out):
    files = sorted((out / "labels").glob("*.jsonl"))
    return [label for file in files for label in read_records(file, Label)]


def rows_in(out):
    entries = read_manifest(out).entries
    return [row for entry in entries for row in read_shard(out, entry)]


def test_a_jury_judges_with_its_own_bill_and_votes(
    drawn, written, tmp_path, run, endpoint
):
    seats = [
        endpoint("lab-critic-strong", "anthropic"),
        endpoint("lab-critic-weak", votes=3),
        endpoint("lab-evaluator", template="rationale"),
    ]
    jury = {"api": "jury", "critics": seats}
    document = label_document(drawn, written, jury)
    result = run(label, LabelConfig, document, tmp_path / "jury")
    labels = labels_in(tmp_path / "jury")
    asked = [one for one in labels if one.state == "labeled"]
    assert result["comparisons"] == len(labels) == 30
    assert result["calls"] == len(asked) * 2 * 5
    assert {len(one.jurors) for one in asked} == {3}
    assert {one.critic for one in asked} == {
        "lab-critic-strong+lab-critic-weak+lab-evaluator"
    }
    for one in asked:
        said = [juror.verdict.value for juror in one.jurors]
        most = max(("first", "second"), key=said.count)
        assert one.verdict == (most if said.count(most) > 1 else "tie")
        assert one.cost_usd == pytest.approx(sum(j.cost_usd for j in one.jurors))
        assert len(one.jurors[1].jurors) == 3
    single = run(
        label,
        LabelConfig,
        label_document(drawn, written, seats[0]),
        tmp_path / "one",
    )
    alone = {one.pair_id: one for one in labels_in(tmp_path / "one")}
    assert single["calls"] == len(asked) * 2
    for one in asked:
        assert one.jurors[0] == alone[one.pair_id]


def test_a_jury_may_hold_recorded_judgments(drawn, written, tmp_path, run, endpoint):
    rows = []
    prompts = {one.prompt_id: one for one in read_records(drawn, Prompt)}
    strong = {c.prompt_id: c for c in read_records(written["strong"], Completion)}
    for weak in read_records(written["weak"], Completion):
        rows.append(
            {
                "instruction": prompts[weak.prompt_id].messages[0].content,
                "output_1": weak.text,
                "output_2": strong[weak.prompt_id].text,
                "annotator": "human",
                "preference": 2,
            }
        )
    file = tmp_path / "human.json"
    file.write_text(json.dumps(rows))
    recorded = {"api": "recorded", "file": str(file)}
    critics = [recorded, endpoint("lab-critic-strong")]
    document = label_document(drawn, written, {"api": "jury", "critics": critics})
    result = run(label, LabelConfig, document, tmp_path / "labels")
    assert result["labels"]["first"] == 0 < result["labels"]["second"]
    asked = [one for one in labels_in(tmp_path / "labels") if one.jurors]
    assert asked[0].critic == "human+lab-critic-strong"
    assert result["calls"] == result["estimate"]["calls"] == 2 * len(asked)
    for one in asked:
        agree = one.jurors[1].verdict == "second"
        assert one.verdict == ("second" if agree else "tie")


RUBRIC = """
messages:
  - role: user
    content: |
      # Task
      ## Instruction:
      {instruction}

      ## Output (a):
      {output_a}

      ## Output (b):
      {output_b}

      ## Which is best, Output (a) or Output (b)?
"""


def test_a_template_is_part_of_what_a_folder_was_made_of(
    drawn, written, tmp_path, run, endpoint
):
    file = tmp_path / "rubric.yaml"
    file.write_text(RUBRIC)
    critic = endpoint("lab-critic-strong", template=str(file))
    document = label_document(drawn, written, critic)
    out = tmp_path / "labels"
    result = run(label, LabelConfig, document, out)
    assert result["pairs"] > 0 and result["states"].get("unparsable", 0) == 0
    assert run(label, LabelConfig, document, out) == result
    file.write_text(RUBRIC.replace("# Task", "# The task"))
    with pytest.raises(UsageError, match="another inputs"):
        run(label, LabelConfig, document, out)
    document["critic"] = endpoint("lab-critic-strong")
    with pytest.raises(UsageError, match="another critic, inputs"):
        run(label, LabelConfig, document, out)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"template": "nothing"}, "unknown template 'nothing'"),
        ({"template": "rationale", "verdicts": "soft"}, "not go with template rat"),
        ({"template": "./nothing.yaml"}, r"no config at nothing\.yaml"),
    ],
)
def test_a_critic_that_cannot_be_asked_leaves_no_folder(
    drawn, tmp_path, run, endpoint, how, message
):
    written = {name: tmp_path / f"{name}.jsonl" for name in ("weak", "strong")}
    prompts = [prompt.prompt_id for prompt in read_records(drawn, Prompt)]
    for name, path in written.items():
        write_records(
            path, [Completion.create(p, name, generator="g") for p in prompts]
        )
    critic = endpoint("lab-critic-strong", **how)
    document = label_document(drawn, written, critic)
    with pytest.raises(UsageError, match=message):
        run(label, LabelConfig, document, tmp_path / "labels")
    assert not (tmp_path / "labels").exists()


@pytest.fixture
def third(drawn, tmp_path, run, endpoint):
    """Another completion of the weak teacher for every prompt."""
    document = {
        "prompts": str(drawn),
        "teacher": endpoint("lab-teacher-weak"),
        "generator": "weak",
        "seed": 1,
    }
    run(complete, CompleteConfig, document, tmp_path / "third")
    return tmp_path / "third" / "completions.jsonl"


def test_several_samples_of_a_teacher_are_candidates(drawn, tmp_path, run, endpoint):
    document = {"prompts": str(drawn), "teacher": endpoint("lab-teacher-weak")}
    one = run(complete, CompleteConfig, document, tmp_path / "one")
    result = run(
        complete, CompleteConfig, document | {"samples": 3}, tmp_path / "three"
    )
    assert (one["completions"], result["completions"]) == (70, 210)
    assert result["estimate"]["calls"] == result["calls"] == 210
    written = [*read_records(tmp_path / "three" / "completions.jsonl", Completion)]
    alone = [*read_records(tmp_path / "one" / "completions.jsonl", Completion)]
    assert written[::3] == alone  # the first sample is that of a run with one
    groups = [written[start : start + 3] for start in range(0, 210, 3)]
    assert all(len({one.prompt_id for one in group}) == 1 for group in groups)
    assert sum(len({one.text for one in group}) > 1 for group in groups) > 35
    file = str(tmp_path / "three" / "completions.jsonl")
    labels = {
        "prompts": str(drawn),
        "first": file,
        "second": file,
        "others": [file],
        "splits": ["aif"],
        "critic": endpoint("lab-critic-strong"),
    }
    assert run(label, LabelConfig, labels, tmp_path / "labels")["comparisons"] == 90


def test_more_candidates_are_compared_two_by_two(
    drawn, written, third, tmp_path, run, endpoint
):
    document = label_document(drawn, written, endpoint("lab-critic-strong"))
    two = run(label, LabelConfig, document, tmp_path / "two")
    document["others"] = [str(third)]
    result = run(label, LabelConfig, document, tmp_path / "three")
    assert result["comparisons"] == 90
    assert result["pairs"] == result["labels"]["first"] + result["labels"]["second"]
    three = {one.pair_id: one for one in labels_in(tmp_path / "three")}
    pairs = labels_in(tmp_path / "two")
    assert two["comparisons"] == len(pairs) == 30
    assert all(three[one.pair_id] == one for one in pairs)
    for file in sorted((tmp_path / "three" / "labels").glob("*.jsonl")):
        assert len(list(read_records(file, Label))) % 3 == 0  # a prompt is in one block


def test_the_best_candidate_is_paired_with_the_worst(
    drawn, written, third, tmp_path, run, endpoint
):
    document = label_document(drawn, written, endpoint("lab-critic-strong"))
    document |= {"others": [str(third)], "pairs": "best_worst"}
    out = tmp_path / "best"
    result = run(label, LabelConfig, document, out)
    rows = rows_in(out)
    assert result["pairs"] == len(rows) <= 30
    assert len({row.prompt_id for row in rows}) == len(rows) > 10
    by_pair = {one.pair_id: one for one in labels_in(out)}
    assert all(by_pair[row.pair_id].verdict in ("first", "second") for row in rows)
    sealed = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    assert run(label, LabelConfig, document, out) == result
    assert {p.name: p.read_bytes() for p in out.glob("*.parquet")} == sealed


def test_two_samples_of_one_student_are_compared(
    drawn, written, third, tmp_path, run, endpoint
):
    both = tmp_path / "both.jsonl"
    both.write_text(written["weak"].read_text() + third.read_text())
    document = label_document(drawn, written, endpoint("lab-critic-strong"))
    document |= {"first": str(both), "second": str(both)}
    result = run(label, LabelConfig, document, tmp_path / "one_file")
    apart = document | {"first": str(written["weak"]), "second": str(third)}
    assert run(label, LabelConfig, apart, tmp_path / "two_files") == result
    assert labels_in(tmp_path / "one_file") == labels_in(tmp_path / "two_files")
    assert result["pairs"] > 0
    rows = rows_in(tmp_path / "one_file")
    assert {(r.chosen_generator, r.rejected_generator) for r in rows} == {("weak",) * 2}
    document |= {"first": str(third), "second": str(third)}
    with pytest.raises(UsageError, match="lacks completion number 2 of 30 of 30"):
        run(label, LabelConfig, document, tmp_path / "too_few")


def test_an_evaluator_may_be_a_jury(drawn, written, tmp_path, run, endpoint):
    seats = [endpoint("lab-evaluator"), endpoint("lab-critic-strong")]
    document = {
        "prompts": str(drawn),
        "candidate": str(written["strong"]),
        "baseline": str(written["weak"]),
        "evaluator": {"api": "jury", "critics": seats},
        "budget_usd": 1.0,
    }
    result = run(evaluate, EvaluateConfig, document, tmp_path / "wins")
    assert result["n_total"] == 70 and result["win_rate"] > 60
