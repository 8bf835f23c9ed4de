"""Tests of `audit`, on labels of the lab and on annotation files."""

import json

import pytest

from rlaif_jax import cli
from rlaif_jax.commands import audit, complete, label, prompts
from rlaif_jax.config import AuditConfig, CompleteConfig, LabelConfig, PromptsConfig
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import read_records
from rlaif_jax.records import Label


@pytest.fixture
def labeled(world, tmp_path, run, endpoint):
    """Labels 30 comparisons with a critic of the lab; gives the folder."""
    source = {"format": "jsonl", "path": str(world / "prompts.jsonl")}
    document = {"source": source, "limit": 30, "fractions": {"aif": 1.0}}
    run(prompts, PromptsConfig, document, tmp_path / "prompts")
    drawn = str(tmp_path / "prompts" / "prompts.jsonl")
    for name in ("weak", "strong"):
        teacher = endpoint(f"lab-teacher-{name}")
        document = {"prompts": drawn, "teacher": teacher, "generator": name}
        run(complete, CompleteConfig, document, tmp_path / name)

    def call(critic, out, **fields):
        document = {
            "prompts": drawn,
            "splits": ["aif"],
            "first": str(tmp_path / "weak" / "completions.jsonl"),
            "second": str(tmp_path / "strong" / "completions.jsonl"),
            "critic": critic,
            "comparisons_per_shard": 8,
        } | fields
        run(label, LabelConfig, document, tmp_path / out)
        return tmp_path / out

    return call


def labels_of(folder):
    files = sorted((folder / "labels").glob("*.jsonl"))
    return [one for file in files for one in read_records(file, Label)]


def test_a_run_of_label_is_audited(labeled, endpoint, tmp_path, run):
    folder = labeled(endpoint("lab-critic-weak"), "labels")
    found = run(audit, AuditConfig, {"labels": str(folder)}, tmp_path / "audit")
    labels = labels_of(folder)
    assert found["labels"] == found["comparisons"] == len(labels) == 30
    assert sum(one["n"] for one in found["states"].values()) == 30
    both = [
        one.verdict_both_orders.split(",")
        for one in labels
        if one.verdict_both_orders.count(",") == 1
    ]
    usable = [pair for pair in both if "failed" not in pair]
    measures = found["measures"]
    assert measures["order_consistency"]["n"] == len(usable) > 0
    assert measures["order_consistency"]["value"] == pytest.approx(
        sum(a == b for a, b in usable) / len(usable)
    )
    chose = [(a == "first", b == "second") for a, b in usable]
    assert measures["p_first_shown"]["value"] == pytest.approx(
        sum(map(sum, chose)) / (2 * len(usable))
    )
    total = sum(one.cost_usd for one in labels)
    assert total > 0
    assert measures["cost_usd"]["value"] == pytest.approx(total / 30)
    assert measures["calls"]["value"] == pytest.approx(
        sum(one.calls for one in labels) / 30
    )
    assert 0 < measures["latency_s_p50"]["value"] <= measures["latency_s_p99"]["value"]
    assert measures["latency_s_p50"]["n"] == 2 * len(usable)
    assert measures["completion_cut"]["n"] == 30
    assert {one["name"] for one in found["generators"]} == {"weak", "strong"}
    assert json.loads((tmp_path / "audit" / "audit.json").read_text()) == {
        name: value for name, value in found.items() if name != "page"
    }
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert found["page"].endswith("audit.html")
    assert "Output (a)" in page or "Output (b)" in page  # the critic's own words


def test_label_audits_in_the_end_if_asked_to(labeled, endpoint, tmp_path, run):
    critic = endpoint("lab-critic-weak")
    plain = labeled(critic, "labels")
    audited = labeled(critic, "labels", audit=True)  # the same run, taken up again
    assert audited == plain
    found = json.loads((audited / "audit" / "audit.json").read_text())
    alone = run(audit, AuditConfig, {"labels": str(plain)}, tmp_path / "alone")
    del alone["page"]
    assert found == alone
    assert (audited / "audit" / "audit.html").stat().st_size > 10_000


def test_an_option_asks_label_to_audit(monkeypatch):
    asked = []
    monkeypatch.setattr(cli, "_dispatch", lambda *args, **_: asked.append(args))
    assert cli.run(["label", "x.yaml", "canaries=3", "--audit"]) == 0
    assert asked == [("label", ["x.yaml", "canaries=3", "audit=true"])]


def test_two_critics_are_compared(labeled, endpoint, tmp_path, run):
    strong = labeled(endpoint("lab-critic-strong"), "strong_labels")
    weak = labeled(endpoint("lab-critic-weak"), "weak_labels", orders="hashed")
    document = {"labels": str(weak), "against": str(strong), "own": ["weak"]}
    found = run(audit, AuditConfig, document, tmp_path / "audit")
    other = {one.pair_id: one.verdict for one in labels_of(strong)}
    pairs = [(one.verdict, other[one.pair_id]) for one in labels_of(weak)]
    usable = [pair for pair in pairs if "failed" not in pair]
    assert found["agreement"]["n"] == len(usable)
    assert found["measures"]["agreement"]["value"] == pytest.approx(
        sum(a == b for a, b in usable) / len(usable)
    )
    assert "self_preference" in found["measures"]
    assert "order_consistency" in found["absent"]
    assert found["measures"]["p_first_shown"]["n"] > 0


@pytest.mark.parametrize("how", ["votes", "jury"])
def test_several_replies_a_verdict_are_audited_without_them(
    labeled, endpoint, tmp_path, run, how
):
    weak = endpoint("lab-critic-weak")
    critics = [weak, endpoint("lab-critic-strong")]
    critic = {
        "votes": weak | {"votes": 2},
        "jury": {"api": "jury", "critics": critics},
    }[how]
    folder = labeled(critic, "labels")
    found = run(audit, AuditConfig, {"labels": str(folder)}, tmp_path / "audit")
    labels = labels_of(folder)
    both = [one.verdict_both_orders.split(",") for one in labels if one.jurors]
    assert found["labels"] == 30 and {len(one) for one in both} == {2}
    measures = found["measures"]
    assert measures["order_consistency"]["n"] == len(both)
    assert measures["order_consistency"]["value"] == pytest.approx(
        sum(a == b for a, b in both) / len(both)
    )
    assert measures["calls"]["value"] == pytest.approx(4 * len(both) / 30)
    assert measures["cost_usd"]["value"] > 0
    assert {"reply_cut", "latency_s_p50", "latency_s_p99"} <= found["absent"].keys()
    assert any("jurors" in note for note in found["notes"])
    if how == "votes":  # the lab's critics say the same again
        assert measures["repeat_flips"]["value"] == 0.0
        assert {"juror_agreement", "alpha"} <= found["absent"].keys()
    else:
        pairs = [[one.verdict for one in label.jurors] for label in labels]
        equal = [a == b for a, b in filter(None, pairs)]
        assert 0 < sum(equal) < len(equal)
        assert measures["juror_agreement"]["value"] == sum(equal) / len(equal)
        assert measures["alpha"]["value"] < 1
        assert "repeat_flips" in found["absent"]
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert "Output (" not in page  # the critics' words are left out


def test_every_pair_of_candidates_is_audited(labeled, endpoint, tmp_path, run):
    teacher = endpoint("lab-teacher-weak")
    drawn = str(tmp_path / "prompts" / "prompts.jsonl")
    document = {"prompts": drawn, "teacher": teacher, "generator": "third", "seed": 1}
    run(complete, CompleteConfig, document, tmp_path / "third")
    others = [str(tmp_path / "third" / "completions.jsonl")]
    folder = labeled(endpoint("lab-critic-strong"), "labels", others=others)
    found = run(audit, AuditConfig, {"labels": str(folder)}, tmp_path / "audit")
    assert found["labels"] == found["comparisons"] == 90
    writers = {one["name"] for one in found["generators"]}
    assert writers == {"weak", "strong", "third"}


def test_sealed_labels_are_audited_while_the_rest_is_not(
    labeled, endpoint, tmp_path, run
):
    folder = labeled(endpoint("lab-critic-strong"), "labels")
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:2]))
    found = run(audit, AuditConfig, {"labels": str(folder)}, tmp_path / "a")
    assert (found["labels"], found["comparisons"]) == (16, 30)
    manifest.write_text("")
    with pytest.raises(UsageError, match="no labels to audit yet"):
        run(audit, AuditConfig, {"labels": str(folder)}, tmp_path / "b")


def test_labels_of_changed_completions_are_refused(labeled, endpoint, tmp_path, run):
    folder = labeled(endpoint("lab-critic-strong"), "labels")
    completions = tmp_path / "weak" / "completions.jsonl"
    records = [json.loads(line) for line in completions.read_text().splitlines()]
    changed = [json.dumps(one | {"completion_id": "0" * 32}) for one in records]
    completions.write_text("\n".join(changed))
    with pytest.raises(CorruptDataError, match="have changed since"):
        run(audit, AuditConfig, {"labels": str(folder)}, tmp_path / "audit")


def rows(annotator, preferences):
    return [
        {
            "instruction": f"question {n}",
            "output_1": f"one {n}",
            "output_2": f"two {n} \x1b[31m",
            "generator_1": "a\x1b[2J",
            "generator_2": "b\u202e",
            "annotator": annotator,
            "preference": preference,
        }
        for n, preference in enumerate(preferences)
    ]


def test_a_table_without_rows_is_not_printed(labeled, endpoint, tmp_path, run, capsys):
    labeled(endpoint("lab-critic-weak"), "differing")
    same = tmp_path / "same.jsonl"
    same.write_bytes((tmp_path / "weak" / "completions.jsonl").read_bytes())
    folder = labeled(endpoint("lab-critic-weak"), "labels", second=str(same))
    found = run(audit, AuditConfig, {"labels": str(folder)}, tmp_path / "audit")
    audit.show(found, tmp_path / "audit")
    told = capsys.readouterr().out
    assert "Identical, not asked" in told and "generator  won" not in told


def test_annotation_files_are_audited(tmp_path, run, capsys):
    file = tmp_path / "one.annotations.json"
    file.write_text(json.dumps(rows("gpt", [1, 2, 2, 0, None])))
    gold = tmp_path / "gold.annotations.json"
    gold.write_text(json.dumps(rows("people", [1, 2, 1, 2, 2])))
    found = run(
        audit,
        AuditConfig,
        {"labels": str(file), "against": str(gold)},
        tmp_path / "audit",
    )
    verdicts = {name: one["n"] for name, one in found["verdicts"].items()}
    assert verdicts == {"first": 1, "second": 2, "tie": 1, "failed": 1}
    assert found["agreement"]["n"] == 4
    assert found["measures"]["agreement"]["value"] == 0.5
    assert "cost_usd" in found["absent"]
    audit.show(found, tmp_path / "audit")
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert "a[U+001B][2J" in told
    assert "Cohen's kappa" in told
    assert "not known: Cost a label: no price is recorded" in told
    both = run(audit, AuditConfig, {"labels": str(tmp_path)}, tmp_path / "both")
    assert both["labels"] == 10
    assert both["critics"] == ["gpt", "people"]


def test_labels_replayed_from_a_file_have_no_known_order(tmp_path, run):
    file = tmp_path / "x.annotations.json"
    file.write_text(json.dumps(rows("gpt", [1, 2, 2, 0, 1])))
    source = {"format": "alpaca_eval", "path": str(file)}
    document = {"source": source, "fractions": {"aif": 1.0}}
    run(prompts, PromptsConfig, document, tmp_path / "p")
    drawn = str(tmp_path / "p" / "prompts.jsonl")
    for side in ("output_1", "output_2"):
        teacher = {"api": "recorded", "file": str(file), "output": side}
        document = {"prompts": drawn, "teacher": teacher}
        run(complete, CompleteConfig, document, tmp_path / side)
    document = {
        "prompts": drawn,
        "first": str(tmp_path / "output_2" / "completions.jsonl"),
        "second": str(tmp_path / "output_1" / "completions.jsonl"),
        "critic": {"api": "recorded", "file": str(file)},
    }
    run(label, LabelConfig, document, tmp_path / "l")
    found = run(audit, AuditConfig, {"labels": str(tmp_path / "l")}, tmp_path / "a")
    assert "p_first_shown" in found["absent"]
    assert found["measures"]["p_longer"]["n"] == 4
    assert any("order" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("name", "content", "code", "told"),
    [
        ("nothing", None, 2, "no labels at"),
        ("x.json", "[3]", 65, "row 0 is int"),
        ("x.json", "[]", 2, "no labels to audit"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, name, content, code, told):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    assert cli.run(["audit", f"labels={path}", "--out", str(tmp_path / "o")]) == code
    err = capsys.readouterr().err.splitlines()
    assert told in err[-1]
    assert not (tmp_path / "o" / "audit.json").exists()
