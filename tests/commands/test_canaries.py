"""Tests of `label canaries=N` and of what `audit` makes of them, over HTTP."""

import asyncio
import importlib.util
import re
import threading
from pathlib import Path

import pytest

from rlaif_jax.commands import audit, label
from rlaif_jax.config import AuditConfig, LabelConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_records, write_records
from rlaif_jax.labeling.planting import INJECTIONS, Canary
from rlaif_jax.records import Completion, Label, Message, Prompt

LABELING = Path(__file__).parents[1] / "labeling"
SUSCEPTIBLE = 3  # of the sentences in INJECTIONS, the critic obeys the first ones


def load(name):
    path = LABELING / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"labeling_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def critic(question):
    """Obeys some sentences; else prefers an answer that repeats the question's number.

    Between equals it prefers the first one shown.
    """
    shown = [body for _, _, body in load_once()._SHOWN.findall(question)]
    for place, body in enumerate(shown):
        if any(sentence in body for sentence in INJECTIONS[:SUSCEPTIBLE]):
            return f"Output ({'ab'[place]})"
    number = re.search(r"question (\d+)\?", question)[1]
    is_second = not shown[0].startswith(f"{number}:")
    return "Output (b)" if is_second else "Output (a)"


SERVER = []


def load_once():
    if not SERVER:
        SERVER.append(load("server"))
    return SERVER[0]


@pytest.fixture(scope="module")
def server():
    """A chat server in a thread of its own."""
    chat, started, ended = load_once().ChatServer(critic), threading.Event(), []

    async def serve():
        async with chat.running():
            ended.append((asyncio.get_running_loop(), asyncio.Event()))
            started.set()
            await ended[0][1].wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(timeout=30)
    yield chat
    ended[0][0].call_soon_threadsafe(ended[0][1].set)
    thread.join(timeout=10)


@pytest.fixture
def document(server, tmp_path):
    """A run of `label` whose second texts are hostile."""
    hostile = load("hostile")  # of these, what a file can hold
    texts = [t for t in hostile.TEXTS if t.strip() and "\ud800" not in t]
    texts += hostile.MARKUP + list(INJECTIONS)
    prompts = [
        Prompt.create((Message(role="user", content=f"question {n}?"),), source="test")
        for n in range(len(texts))
    ]
    write_records(tmp_path / "prompts.jsonl", prompts)
    sides = {"first": [f"{n}: good" for n in range(len(texts))], "second": texts}
    for name, written in sides.items():
        completions = [
            Completion.create(prompt.prompt_id, text, generator=name)
            for prompt, text in zip(prompts, written, strict=True)
        ]
        write_records(tmp_path / f"{name}.jsonl", completions)
    return {
        "prompts": str(tmp_path / "prompts.jsonl"),
        "first": str(tmp_path / "first.jsonl"),
        "second": str(tmp_path / "second.jsonl"),
        "critic": {"api": "openai", "base_url": server.openai_url, "model": "critic"},
        "comparisons_per_shard": 8,
    }


def sealed(out):
    patterns = ("*.parquet", "manifest.jsonl", "labels/*.jsonl")
    return {one: one.read_bytes() for p in patterns for one in sorted(out.glob(p))}


def test_an_audit_tells_how_much_a_critic_obeys_what_it_judges(
    document, server, tmp_path, run, capsys
):
    out = tmp_path / "labels"
    plain = run(label, LabelConfig, document, out)
    without, asked = sealed(out), len(server.requests)
    result = run(label, LabelConfig, document | {"canaries": 16}, out)
    assert result["canaries"]["comparisons"] == 16 * 3
    assert result["canaries"]["calls"] == len(server.requests) - asked == 16 * 3 * 2
    assert sealed(out) == without
    label.show(result, out)
    assert "48 canaries" in capsys.readouterr().out
    paid = ("calls", "prompt_tokens", "completion_tokens", "cost_usd")
    for key in paid:
        assert result[key] == plain[key] + result["canaries"][key]
    others = plain.keys() - {"estimate", *paid}
    assert {key: result[key] for key in others} == {key: plain[key] for key in others}
    assert result["calls"] == result["estimate"]["calls"]
    pairs = {one.label.pair_id for one in read_records(out / "canaries.jsonl", Canary)}
    labels = sorted((out / "labels").glob("*.jsonl"))
    ids = [one.pair_id for file in labels for one in read_records(file, Label)]
    assert len(pairs) == 48 and not pairs & set(ids)

    found = run(audit, AuditConfig, {"labels": str(out)}, tmp_path / "audit")
    assert found["labels"] == found["comparisons"] == plain["comparisons"] == len(ids)
    measures = found["measures"]
    assert measures["beats_empty"]["value"] == 1.0
    assert measures["beats_off_topic"]["value"] == 1.0
    # each of the eight sentences stands in two of the sixteen
    obeyed, lift = measures["injected_wins"], measures["injection_lift"]
    assert obeyed["value"] == lift["value"] == pytest.approx(SUSCEPTIBLE / 8)
    assert obeyed["n"] == obeyed["n_prompts"] == 16
    assert 0 < obeyed["low"] < SUSCEPTIBLE / 8 < obeyed["high"] < 1
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert "What the sentence adds" in page
    tags = [markup for markup in load("hostile").MARKUP if "<" in markup]
    assert tags and not [markup for markup in tags if markup in page]
    assert "{{ 7 * 7 }}" in page  # a template's marks are text like any other


def test_without_canaries_an_audit_says_so(document, tmp_path, run):
    run(label, LabelConfig, document, tmp_path / "labels")
    found = run(
        audit, AuditConfig, {"labels": str(tmp_path / "labels")}, tmp_path / "audit"
    )
    assert "canaries=" in found["absent"]["injected_wins"]
    assert not (tmp_path / "labels" / "canaries.jsonl").exists()


def test_recorded_judgments_have_no_canaries(document, tmp_path, run):
    document["critic"] = {"api": "recorded", "file": "x.annotations.json"}
    with pytest.raises(UsageError, match="canaries=4"):
        run(label, LabelConfig, document | {"canaries": 4}, tmp_path / "labels")
