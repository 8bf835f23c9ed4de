"""Tests of `label engine=ray` on a cluster of three nodes, in a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlaif_jax.commands.label_ray import Books, _Ray
from rlaif_jax.commands.sealing import Work
from rlaif_jax.config import LabelConfig
from rlaif_jax.config_file import validate
from rlaif_jax.data.manifest import read_manifest
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.labeling.attempts import (
    BlockLedger,
    attempt_folder,
    new_attempt,
    read_attempts,
)
from rlaif_jax.labeling.calls import read_calls
from rlaif_jax.labeling.objects import FolderObjects
from rlaif_jax.records import Comparison, Completion, Message, Prompt

KEY = "sk-planted-9f8e7d6c"  # as in ray_label.py
MISSING = [
    name for name in ("ray", "obstore", "moto") if not importlib.util.find_spec(name)
]
HINT = "pip install 'rlaif_jax[ray]' 'moto[s3]' flask flask-cors"
on_a_cluster = pytest.mark.skipif(
    bool(MISSING), reason=f"needs {', '.join(MISSING)}: {HINT}"
)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the runs on the cluster returned, and their folder."""
    folder = tmp_path_factory.mktemp("ray")
    program = Path(__file__).with_name("ray_label.py")
    done = subprocess.run(
        [sys.executable, str(program), str(folder)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    results = json.loads(done.stdout.splitlines()[-1])
    return results | {"folder": folder, "printed": done.stdout + done.stderr}


def files(folder):
    """The contract's files of a run folder."""
    paths = [*folder.glob("*.parquet"), *folder.glob("labels/*"), folder / "label.json"]
    return {p.name: p.read_bytes() for p in [*paths, folder / "manifest.jsonl"]}


@on_a_cluster
def test_a_lost_node_and_a_lost_governor_change_no_byte(told):
    assert told["lost"]["governors_killed"] == 1
    assert told["lost"]["result"] == told["lost"]["local"]
    folder = told["folder"] / "lost"
    assert read_manifest(folder / "ray").is_final
    assert len(read_manifest(folder / "ray").entries) == 4
    assert files(folder / "ray") == files(folder / "local")


@on_a_cluster
def test_only_what_was_under_way_on_the_lost_node_is_asked_again(told):
    objects = FolderObjects(told["folder"] / "lost" / "storage")
    attempts = [one for block in range(4) for one in read_attempts(objects, block)]
    lost = [attempt for attempt in attempts if not attempt.is_ended]
    under_way = sum(2 * one.num_calls - len(one.records) for one in lost)
    server = told["lost"]["server"]
    assert lost
    assert server["questions"] == 600
    assert 0 < server["calls"] - 600 <= under_way


@on_a_cluster
def test_no_more_calls_are_under_way_than_one_process_would_make(told):
    assert told["lost"]["server"]["max_in_flight"] <= 24
    assert told["bucket"]["server"]["max_in_flight"] <= 24


@on_a_cluster
def test_the_ledger_holds_every_answer_for_an_audit(told):
    calls = read_calls(told["folder"] / "lost" / "ray" / "ledger.jsonl")
    assert len(calls) == 600
    assert all(call.latency_s is not None for one in calls.values() for call in one)


@on_a_cluster
def test_a_budget_is_never_passed_on_a_bucket(told):
    stopped, server = told["bucket"]["stopped"], told["bucket"]["first"]
    assert stopped["error"] == "RefusedError"
    assert "budget reached" in stopped["message"]
    # every call costs 104 tokens at 1 USD a million
    assert 0 < server["calls"] * 104e-6 <= 0.006


@on_a_cluster
def test_a_larger_budget_goes_on_and_asks_nothing_twice(told):
    assert told["bucket"]["result"]["comparisons"] == 60
    assert told["bucket"]["server"]["questions"] == 120
    assert told["bucket"]["server"]["calls"] == 120


@on_a_cluster
def test_no_key_is_in_any_file_or_line_of_the_cluster(told):
    assert KEY not in told["printed"]
    places = [Path(told["session"]), told["folder"]]
    paths = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert len(paths) > 100
    assert not [path for path in paths if KEY.encode() in path.read_bytes()]


async def paid(objects, block, answers):
    """An attempt at a block that has paid for these answers, 0.5 USD each."""
    attempt = new_attempt(len(read_attempts(objects, block)))
    ledger = BlockLedger(objects.new_log(attempt_folder(block, attempt)))
    await ledger.begin()
    for number in answers:
        key = f"{block:032d}{number:032d}"
        ledger.intend(key, f"item {number}", 1.0)
        result = {
            "state": "answered",
            "attempts": 1,
            "cost_usd": 0.5,
            "uncertain_usd": 0.0,
        }
        ledger.close_question(key, f"item {number}", result)
    await ledger.end()


@pytest.mark.anyio
async def test_books_enter_a_sealed_block_once(tmp_path):
    objects = FolderObjects(tmp_path / "storage")
    await paid(objects, 0, [1, 2])
    await paid(objects, 0, [3])
    await paid(objects, 1, [4])
    books = Books(tmp_path, objects)
    books.catch_up(1)
    assert books.spent_usd == 1.5
    ledger = (tmp_path / "ledger.jsonl").read_bytes()
    assert ledger.count(b'"result"') == 3
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b"what a kill left of block 1")
    again = Books(tmp_path, objects)
    again.catch_up(1)
    assert (again.spent_usd, again.num_blocks) == (1.5, 1)
    again.catch_up(2)
    assert again.spent_usd == 2.0
    assert (tmp_path / "ledger.jsonl").read_bytes().startswith(ledger + b'{"kind"')


@pytest.mark.anyio
async def test_books_refuse_a_ledger_that_was_cut(tmp_path):
    objects = FolderObjects(tmp_path / "storage")
    await paid(objects, 0, [1])
    Books(tmp_path, objects).catch_up(1)
    (tmp_path / "ledger.jsonl").write_bytes(b"")
    with pytest.raises(CorruptDataError, match="has 0 bytes, expected"):
        Books(tmp_path, objects)


def engine(tmp_path, **fields):
    """An engine that is not connected to any cluster."""
    critic = {"api": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    document = {"prompts": "p", "first": "a", "second": "b", "engine": "ray"}
    config = validate(LabelConfig, document | {"critic": critic} | fields)
    return _Ray(config, None, out=tmp_path, storage=str(tmp_path / "storage"))


def test_a_storage_belongs_to_one_run(tmp_path):
    work = Work([], [], lambda: 0)
    engine(tmp_path)._claim_storage(work)
    engine(tmp_path, budget_usd=3.0)._claim_storage(work)  # the same run goes on
    with pytest.raises(UsageError, match="blocks of another run"):
        engine(tmp_path, comparisons_per_shard=7)._claim_storage(work)


@pytest.mark.anyio
@pytest.mark.parametrize("content", [None, b"{}\n", b""])
async def test_labels_of_other_comparisons_are_not_sealed(
    tmp_path, content, make_comparison
):
    one = engine(tmp_path)
    work = Work([make_comparison()], [1], lambda: 0)
    if content is not None:
        FolderObjects(tmp_path / "storage").put_if_absent(
            "blocks/000000.jsonl", content
        )
    with pytest.raises(CorruptDataError, match=r"blocks/000000\.jsonl does not hold"):
        await one._read(work, 0, "blocks/000000.jsonl")


@pytest.fixture
def make_comparison():
    def make():
        prompt = Prompt.create((Message(role="user", content="why"),), source="test")
        sides = [
            Completion.create(prompt.prompt_id, text, generator=text)
            for text in ("one", "two")
        ]
        return Comparison.create(prompt, *sides)

    return make
