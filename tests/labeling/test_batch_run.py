"""Tests of `rlaif_jax.labeling.batch_run`: `label` with batches, killed anywhere."""

import asyncio
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from rlaif_jax.commands import label
from rlaif_jax.commands.console import Console
from rlaif_jax.config import LabelConfig
from rlaif_jax.config_file import validate

pytestmark = pytest.mark.anyio
SCRIPT = Path(__file__).with_name("batch_once.py")
ROOT = Path(__file__).parents[2]
NUMBER = 13  # comparisons; one of them of equal texts
ASKED = 24


def load_script():
    spec = importlib.util.spec_from_file_location("batch_once", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def critic(endpoint):
    """The document of a critic with prices."""

    def build(api, usd=1.0, **fields):
        prices = {
            "usd_per_million_input_tokens": usd,
            "usd_per_million_output_tokens": 4 * usd,
        }
        config = endpoint(api, **(prices | fields))
        return config.model_dump(mode="json", exclude_unset=True)

    return build


class Said(Console):
    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture
def run(tmp_path, critic):
    """Labels in this process, off the main thread; gives the result."""
    load_script().write_input(tmp_path, NUMBER)
    run.said = []

    async def call(api, *, out="batch", engine="batch", usd=1.0, batch=(), **fields):
        if engine == "batch":
            fields["batch"] = {"poll_s": 0.01, "max_requests": 7} | dict(batch)
        document = load_script().document(
            tmp_path, critic(api, usd), engine=engine, **fields
        )
        console = Said()
        call.lines = console.lines
        config = validate(LabelConfig, document)
        return await asyncio.to_thread(label.run, config, tmp_path / out, console)

    return call


@pytest.fixture
def live(run, tmp_path):
    """The shards and labels of a run by calls, at half the price."""

    async def call(api):
        result = await run(api, out="live", engine="local", usd=0.5)
        return result, sealed(tmp_path / "live")

    return call


def sealed(out):
    files = [*out.glob("*.parquet"), out / "manifest.jsonl", *out.glob("labels/*")]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def journal(out):
    lines = (out / "batches.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_batches_label_as_calls_do_at_half_the_price(
    run, live, batches, server, tmp_path, api
):
    result = await run(api)
    assert not server.requests
    assert set(batches.asked.values()) == {1} and len(batches.asked) == ASKED
    assert len(batches.batches) == 4  # of at most 7 questions
    expected, shards = await live(api)
    assert sealed(tmp_path / "batch") == shards
    assert result == expected


@pytest.fixture
async def started(tmp_path, critic):
    """Starts `label` with batches as a process that may die on the way."""
    load_script().write_input(tmp_path, NUMBER)
    processes = []

    async def start(api, place="", **batch):
        options = {"poll_s": 0.02, "max_requests": 50} | batch
        document = load_script().document(
            tmp_path, critic(api), engine="batch", batch=options
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCRIPT),
            json.dumps(document),
            str(tmp_path / "batch"),
            place,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.communicate()


PLACES = [
    "planned",
    "intended",
    "uploaded",
    "orphan",
    "created",
    "ended",
    "ingesting",
    "ingested",
]


@pytest.mark.parametrize("api", ["openai", "anthropic"])
@pytest.mark.parametrize("place", PLACES)
async def test_a_kill_at_any_state_asks_nothing_twice_and_loses_nothing(
    started, run, live, batches, server, tmp_path, api, place
):
    process = await started(api, place)
    _, stderr = await process.communicate()
    assert process.returncode == -signal.SIGKILL, stderr.decode()
    made = len(batches.batches)
    assert made == (0 if place in ("planned", "intended", "uploaded") else 1)

    result = await run(api, batch={"max_requests": 50})
    assert len(batches.batches) == 1 and not server.requests
    assert set(batches.asked.values()) == {1} and len(batches.asked) == ASKED
    expected, shards = await live(api)
    assert sealed(tmp_path / "batch") == shards
    assert result == expected
    assert journal(tmp_path / "batch")[-1]["kind"] == "ingested"
    ledger = (tmp_path / "batch" / "ledger.jsonl").read_text()
    results = [json.loads(line) for line in ledger.splitlines()]
    spent = sum(
        one["cost_usd"] + one["uncertain_usd"]
        for one in results
        if one["kind"] == "result"
    )
    assert spent == pytest.approx(result["cost_usd"])
    assert not any((tmp_path / "batch" / "batches").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_waiting_and_the_batch_goes_on(
    started, run, batches, tmp_path, number
):
    batches.looks = None
    process = await started("openai")
    while not any(held.num_looks for held in batches.batches.values()):
        await asyncio.sleep(0.02)
    process.send_signal(number)
    _, stderr = await process.communicate()
    assert b"PreemptedError: stopped by" in stderr
    assert [one["kind"] for one in journal(tmp_path / "batch")][-1] == "created"
    batches.looks = 1
    await run("openai")
    assert set(batches.asked.values()) == {1} and len(batches.batches) == 1
