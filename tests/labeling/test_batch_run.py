"""Tests of `rlaif_jax.labeling.batch_run`: `label` with batches, killed anywhere."""

import asyncio
import importlib.util
import json
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from rlaif_jax.commands import complete, label
from rlaif_jax.commands.console import Console
from rlaif_jax.config import CompleteConfig, LabelConfig
from rlaif_jax.config_file import validate
from rlaif_jax.errors import CorruptDataError, PreemptedError, RefusedError, UsageError

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

    async def call(
        api,
        *,
        out="batch",
        engine="batch",
        usd=1.0,
        batch=(),
        api_key_env=None,
        **fields,
    ):
        if engine == "batch":
            fields["batch"] = {"poll_s": 0.01, "max_requests": 7} | dict(batch)
        document = load_script().document(
            tmp_path, critic(api, usd, api_key_env=api_key_env), engine=engine, **fields
        )
        console = Said()
        call.lines = console.lines
        config = validate(LabelConfig, document)
        return await asyncio.to_thread(label.run, config, tmp_path / out, console)

    call.out = tmp_path / "batch"
    return call


@pytest.fixture
def as_live(run, server, tmp_path):
    """Makes sure that a run's labels and shards are those of calls at half the price.

    Until then nothing was called. Gives the result of the calls.
    """

    async def check(api):
        assert not server.requests
        result = await run(api, out="live", engine="local", usd=0.5)
        assert sealed(run.out) == sealed(tmp_path / "live")
        return result

    return check


def sealed(out):
    files = [*out.glob("*.parquet"), out / "manifest.jsonl", *out.glob("labels/*")]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def journal(out):
    lines = (out / "batches.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_batches_label_as_calls_do_at_half_the_price(run, as_live, batches, api):
    result = await run(api)
    assert set(batches.asked.values()) == {1} and len(batches.asked) == ASKED
    assert len(batches.batches) == 4  # of at most 7 questions
    assert result == await as_live(api)


@pytest.fixture
async def started(tmp_path, critic):
    """Starts `label` with batches: the command, or a process that dies on the way."""
    load_script().write_input(tmp_path, NUMBER)
    processes = []

    async def start(api, place="", **batch):
        options = {"poll_s": 0.02, "max_requests": 50} | batch
        document = load_script().document(
            tmp_path, critic(api), engine="batch", batch=options
        )
        config, out = tmp_path / "label.yaml", str(tmp_path / "batch")
        config.write_text(json.dumps(document))
        if place:
            command = [str(SCRIPT), json.dumps(document), out, place]
        else:
            command = ["-m", "rlaif_jax", "label", str(config), "--out", out]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
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
    started, run, as_live, batches, api, place
):
    process = await started(api, place)
    _, stderr = await process.communicate()
    assert process.returncode == -signal.SIGKILL, stderr.decode()
    made = len(batches.batches)
    assert made == (0 if place in ("planned", "intended", "uploaded") else 1)

    result = await run(api, batch={"max_requests": 50})
    assert len(batches.batches) == 1
    assert set(batches.asked.values()) == {1} and len(batches.asked) == ASKED
    assert result == await as_live(api)
    assert journal(run.out)[-1]["kind"] == "ingested"
    ledger = (run.out / "ledger.jsonl").read_text()
    results = [json.loads(line) for line in ledger.splitlines()]
    spent = sum(
        one["cost_usd"] + one["uncertain_usd"]
        for one in results
        if one["kind"] == "result"
    )
    assert spent == pytest.approx(result["cost_usd"])
    assert not any((run.out / "batches").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_waiting_and_the_batch_goes_on(
    started, run, batches, number
):
    batches.looks = None
    process = await started("openai")
    while not any(held.num_looks for held in batches.batches.values()):
        await asyncio.sleep(0.02)
    process.send_signal(number)
    _, stderr = await process.communicate()
    assert process.returncode == 75 and b"stopped by SIG" in stderr
    assert [one["kind"] for one in journal(run.out)][-1] == "created"
    batches.looks = 1
    await run("openai")
    assert set(batches.asked.values()) == {1} and len(batches.batches) == 1


@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_lines_that_fail_for_a_while_are_in_another_batch(
    run, as_live, batches, api
):
    batches.statuses.extend([200, 500, 429] * 8)
    result = await run(api, batch={"max_requests": 50})
    assert len(batches.batches) == 2
    assert sorted(batches.asked.values()) == [1] * 8 + [2] * 16
    await as_live(api)
    assert result["states"]["labeled"] == 12


@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_what_an_expired_batch_has_answered_is_kept(run, as_live, batches, api):
    batches.ends.append("expired")
    await run(api, batch={"max_requests": 50})
    assert sorted(batches.asked.values()) == [1] * 12 + [2] * 12
    await as_live(api)


async def test_rounds_are_bounded_and_a_later_run_goes_on(run, as_live, batches):
    batches.ends.extend(["expired"] * 2)
    with pytest.raises(PreemptedError, match=r"of 13 got no answer.*run the same"):
        await run("openai", batch={"max_requests": 50, "max_rounds": 2})
    assert len(batches.batches) == 2
    assert set(batches.asked.values()) == {1, 2}
    assert not (run.out / "label.json").exists()
    await run("openai")
    await as_live("openai")


async def test_what_stays_open_may_be_left_out_or_called_for(run, batches, server):
    options = {"max_requests": 50, "max_rounds": 1}
    batches.ends.append("expired")
    result = await run("openai", batch=options, max_unanswered=13)
    assert result["states"] == {"failed": 6, "labeled": 6, "skipped_identical": 1}
    assert not server.requests
    batches.ends.append("expired")
    result = await run("openai", out="rest", batch=options | {"rest": "live"})
    assert result["states"] == {"labeled": 12, "skipped_identical": 1}
    assert len(server.requests) == 12  # of 24


@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_a_creation_that_answers_500_may_have_worked(run, as_live, batches, api):
    batches.create_faults.extend(["500-after", "", "500"])
    await run(api, batch={"max_requests": 9})
    assert set(batches.asked.values()) == {1} and len(batches.asked) == ASKED
    assert len(batches.batches) == 3
    kinds = [one["kind"] for one in journal(run.out)]
    assert kinds.count("released") == 1 and kinds.count("ingested") == 3
    await as_live(api)


@pytest.mark.parametrize("fault", ["truncated", "short", "twice", "unknown", "garbage"])
@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_odd_results_lose_nothing(run, as_live, batches, api, fault):
    batches.result_faults.append(fault)
    await run(api, batch={"max_requests": 50})
    assert set(batches.asked.values()) == {1} and len(batches.batches) == 1
    assert batches.num_reads == (2 if fault in ("truncated", "short") else 1)
    odd = {
        "short": ", 12 lines ignored",  # the second time
        "twice": ", 24 lines ignored",
        "unknown": ", 1 lines ignored",
        "garbage": ", 1 lines unreadable",
    }
    ended = next(line for line in run.lines if "has ended" in line)
    told = ended.partition("ended: ")[2]
    assert told.startswith("24 answered, 0 left open")
    if fault != "truncated":
        assert told.removeprefix("24 answered, 0 left open") == odd[fault]
    await as_live(api)


async def test_results_that_never_come_count_as_perhaps_paid(run, batches):
    batches.ends.append("empty")
    await run("openai", batch={"max_requests": 50})
    lines = (run.out / "ledger.jsonl").read_text().splitlines()
    lost = [one for one in map(json.loads, lines) if one.get("state") == "failed"]
    assert len(lost) == ASKED and all(one["uncertain_usd"] > 0 for one in lost)
    assert set(batches.asked.values()) == {2}


async def test_a_full_queue_is_waited_for_with_smaller_batches(run, as_live, batches):
    batches.capacity = 7
    await run("openai", batch={"max_requests": 50, "max_rounds": 1})
    sizes = [len(one.requests) for one in batches.batches.values()]
    # 24 and 12 do not fit alone, another 12 or 6 not beside the first
    assert sizes[0] == 24 and sizes.count(12) >= 1 and max(sizes[3:]) <= 6
    assert set(batches.asked.values()) == {1} and len(batches.asked) == ASKED
    await as_live("openai")


async def test_a_batch_that_is_refused_ends_the_run_with_its_reason(run, batches):
    batches.ends.append("invalid")
    with pytest.raises(UsageError, match=r"refused batch batch_0 \(invalid_model\)"):
        await run("openai", batch={"max_requests": 50})


@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_questions_that_no_request_gets_past_end_the_run(run, batches, api):
    batches.statuses.extend([400] * ASKED)
    with pytest.raises(UsageError, match=r"answered 400 for model 'judge-1'"):
        await run(api, batch={"max_requests": 50})
    batches.create_faults.append("400")
    with pytest.raises(UsageError, match="400"):
        await run(api, batch={"max_requests": 50})
    assert (await run(api))["states"]["labeled"] == 12  # what was refused is open


@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_a_budget_cuts_batches_to_what_fits(run, batches, api):
    # an answer costs 58e-6 at half the price, and may cost about 25 times as much
    for _ in range(2):
        before = len(batches.asked)
        with pytest.raises(RefusedError, match="budget reached"):
            await run(api, budget_usd=0.006, batch={"max_requests": 50})
        assert 1 <= len(batches.asked) - before <= 4
    assert len(batches.batches) == 2
    result = await run(api, budget_usd=1.0)
    assert set(batches.asked.values()) == {1} and len(batches.asked) == ASKED
    assert result["cost_usd"] == pytest.approx(ASKED * 58e-6)


async def test_a_killed_batch_keeps_its_money_until_it_is_read(started, run, batches):
    process = await started("openai", "created")
    await process.communicate()
    # reserved for the batch: nothing is left for another, and nothing is needed
    ledger = (run.out / "ledger.jsonl").read_text().splitlines()
    reserved = sum(json.loads(line)["at_most_usd"] for line in ledger)
    with pytest.raises(PreemptedError, match="have not ended"):
        batches.looks = None
        await run("openai", budget_usd=reserved, batch={"max_wait_s": 0.05})
    batches.looks = 1
    result = await run("openai", budget_usd=reserved)
    assert len(batches.batches) == 1 and result["cost_usd"] < reserved / 10


async def test_calls_do_not_ask_what_a_batch_is_asking(run, batches):
    batches.looks = None
    with pytest.raises(PreemptedError, match=r"1 batches.*max_wait_s=0\.05"):
        await run("openai", batch={"max_wait_s": 0.05, "max_requests": 50})
    with pytest.raises(UsageError, match="batch_0 the first: run with engine=batch"):
        await run("openai", engine="local")
    batches.looks = 0
    await run("openai")
    await run("openai", engine="local")


async def test_files_at_the_provider_may_be_deleted(run, batches):
    await run("openai", batch={"files": "delete", "max_requests": 50})
    assert sorted(batches.deleted) == ["file-0", "file-batch_0-output"]
    assert batches.documents[0]["output_expires_after"]["seconds"] == 30 * 86400
    await run("anthropic", out="other", batch={"files": "delete", "max_requests": 50})
    assert batches.deleted[-1] == "msgbatch_1"


async def test_a_jury_asks_each_model_at_once_and_what_is_shared_once(
    run, critic, batches, server, tmp_path
):
    seats = [critic("openai"), critic("anthropic"), critic("openai", 2.0, votes=2)]
    jury = {"api": "jury", "critics": seats}
    load_script().write_input(tmp_path, NUMBER)
    document = load_script().document(
        tmp_path, jury, engine="batch", batch={"poll_s": 0.01}
    )
    config = validate(LabelConfig, document)
    result = await asyncio.to_thread(label.run, config, run.out, Console(quiet=True))
    # the first vote of the last juror is the first juror's question
    assert result["estimate"]["calls"] == 3 * ASKED == len(batches.asked)
    assert [held.api for held in batches.batches.values()].count("anthropic") == 1
    assert set(batches.asked.values()) == {1} and not server.requests
    assert result["states"] == {"labeled": 12, "skipped_identical": 1}


@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_completions_are_those_of_calls(critic, batches, server, tmp_path, api):
    load_script().write_input(tmp_path, NUMBER)
    made = {}
    for engine, usd in (("batch", 1.0), ("local", 0.5)):
        assert not server.requests
        config = validate(
            CompleteConfig,
            {
                "prompts": str(tmp_path / "prompts.jsonl"),
                "teacher": critic(api, usd),
                "engine": engine,
                **({"batch": {"poll_s": 0.01}} if engine == "batch" else {}),
            },
        )
        out = tmp_path / engine
        result = await asyncio.to_thread(complete.run, config, out, Console(quiet=True))
        made[engine] = (out / "completions.jsonl").read_bytes(), result["cost_usd"]
    assert made["batch"] == made["local"]
    assert len(batches.batches) == 1 and len(server.requests) == NUMBER


@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_the_key_is_in_no_message_and_no_file(
    run, batches, monkeypatch, caplog, api
):
    monkeypatch.setenv("K", "planted-key-9f8e7d")
    caplog.set_level(logging.DEBUG)
    batches.create_faults.extend(["500", "429", "401"])
    with pytest.raises(UsageError, match="answered 401") as caught:
        await run(api, api_key_env="K", batch={"max_requests": 50})
    files = [path for path in run.out.rglob("*") if path.is_file()]
    written = [path.read_text(errors="replace") for path in files]
    for text in (str(caught.value), caplog.text, *run.lines, *written):
        assert "planted-key" not in text
    assert {"ledger.jsonl", "batches.jsonl"} <= {path.name for path in files}


async def test_a_busy_provider_is_asked_again_for_a_while(run, batches):
    batches.create_faults.extend(["429"] * 5)
    await run("openai", batch={"max_requests": 50})
    batches.create_faults.extend(["429"] * 6)
    with pytest.raises(PreemptedError, match=r"answered 429 .*run the same command"):
        await run("openai", out="other", batch={"max_requests": 50})


async def test_a_lost_journal_is_missed(run, batches):
    batches.looks = None
    with pytest.raises(PreemptedError):
        await run("openai", batch={"max_wait_s": 0.05})
    (run.out / "batches.jsonl").unlink()
    for engine in ("batch", "local"):
        with pytest.raises(CorruptDataError, match=r"batches\.jsonl .*restore both"):
            await run("openai", engine=engine)


async def test_what_was_sealed_without_an_answer_is_in_no_later_batch(run, batches):
    batches.ends.append("expired")
    options = {"max_requests": 50, "max_rounds": 1}
    result = await run("openai", batch=options, max_unanswered=13)
    assert await run("openai", max_unanswered=13) == result
    assert len(batches.batches) == 1


async def test_a_batch_of_another_account_is_named(run, batches):
    batches.looks = None
    with pytest.raises(PreemptedError):
        await run("openai", batch={"max_wait_s": 0.05, "max_requests": 50})
    batches.batches.clear()
    with pytest.raises(UsageError, match=r"cannot read batch batch_0, .* answered 404"):
        await run("openai")


async def test_a_short_budget_lets_every_model_of_a_jury_read_its_batches(
    run, critic, batches, tmp_path
):
    jury = {"api": "jury", "critics": [critic("openai"), critic("anthropic")]}
    document = load_script().document(
        tmp_path, jury, engine="batch", batch={"poll_s": 0.01}, budget_usd=0.03
    )
    config = validate(LabelConfig, document)
    with pytest.raises(RefusedError, match="budget reached"):
        await asyncio.to_thread(label.run, config, run.out, Console(quiet=True))
    states = [one["kind"] for one in journal(run.out)]
    made = len(batches.batches)
    assert 1 <= made <= 2 and states.count("ingested") == made
