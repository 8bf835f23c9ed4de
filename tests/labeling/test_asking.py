"""Tests of `rlaif_jax.labeling.asking`: no network, no real time."""

import asyncio
import json

import pytest

from rlaif_jax.errors import PreemptedError, RefusedError, UsageError
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.backoff import Backoff
from rlaif_jax.labeling.budget import Budget, Prices
from rlaif_jax.labeling.chat import Answer, RejectedError, TransientError
from rlaif_jax.labeling.ledger import Ledger
from rlaif_jax.labeling.limits import Limits
from rlaif_jax.labeling.stop import Stop, StoppedError
from rlaif_jax.records import Message, Usage

pytestmark = pytest.mark.anyio

ANSWER = Answer(
    text="Output (a)",
    finish_reason="stop",
    returned_model="m-1",
    usage=Usage(prompt_tokens=10, completion_tokens=2),
    request_id="r",
)
COST_USD = 12e-6  # 10 + 2 tokens at a dollar a million


class ScriptedChat:
    """Raises or returns what its script says, then answers."""

    api, model, identity, host = "openai", "m", "http://h", "h"

    def __init__(self, *script):
        self.script = list(script)
        self.calls = 0

    async def ask(self, messages, *, max_tokens, temperature, seed):
        self.calls += 1
        await asyncio.sleep(0)
        step = self.script.pop(0) if self.script else ANSWER
        if isinstance(step, Exception):
            raise step
        if step == "hang":
            await asyncio.Event().wait()
        return step

    async def close(self):
        pass


@pytest.fixture
def build(tmp_path):
    """Builds askers on one ledger file; their sleeps are noted, not slept."""
    open_ledgers = []

    def build(chat, *, limit_usd=None, timeout_s=60.0, max_attempts=3):
        for ledger in open_ledgers:
            ledger.__exit__(None, None, None)
        open_ledgers[:] = [Ledger(tmp_path / "ledger.jsonl")]
        slept, stop = [], Stop()
        now = [0.0]

        async def sleep(seconds):
            slept.append(seconds)
            now[0] += seconds

        asker = Asker(
            chat=chat,
            ledger=open_ledgers[0],
            prices=Prices(input_usd=1.0, output_usd=1.0),
            budget=Budget(limit_usd=limit_usd, spent_usd=open_ledgers[0].spent_usd),
            limits=Limits(
                max_in_flight=8, stop=stop, sleep=sleep, clock=lambda: now[0]
            ),
            stop=stop,
            backoff=Backoff(max_attempts=max_attempts),
            max_tokens=5,
            timeout_s=timeout_s,
            sleep=sleep,
            uniform=lambda: 0.5,
        )
        return asker, slept

    yield build
    for ledger in open_ledgers:
        ledger.__exit__(None, None, None)


def ask(asker, text="Hi", **fields):
    messages = (Message(role="user", content=text),)
    return asker.ask_once(messages, item="pair:ab", template_hash="t", **fields)


# (2 bytes + 32 around a turn) + 5 tokens of answer
AT_MOST_USD = 39e-6


async def test_an_answer_is_paid_for_once_across_runs(build):
    asker, _ = build(chat := ScriptedChat())
    first = await ask(asker)
    assert (first.text, first.cost_usd, first.attempts) == ("Output (a)", COST_USD, 1)
    assert await ask(asker) == first
    again, _ = build(chat)
    assert await ask(again) == first
    assert chat.calls == 1
    assert (again.num_sent, again.num_replayed) == (0, 1)


async def test_another_vote_or_seed_is_another_question(build):
    asker, _ = build(chat := ScriptedChat())
    for fields in ({}, {"vote": 1}, {"seed": 0}, {"seed": 1}):
        await ask(asker, **fields)
    assert chat.calls == 4


async def test_the_same_question_at_the_same_time_is_asked_once(build):
    asker, _ = build(chat := ScriptedChat())
    outcomes = await asyncio.gather(*(ask(asker) for _ in range(5)))
    assert chat.calls == 1 and len({one.request_id for one in outcomes}) == 1


async def test_transient_errors_are_retried_with_growing_delays(build):
    error = TransientError("500")
    asker, slept = build(ScriptedChat(error, error))
    outcome = await ask(asker)
    assert (outcome.state, outcome.attempts) == ("answered", 3)
    assert slept == [0.5, 1.0]


async def test_a_servers_wish_pauses_all_calls(build):
    asker, slept = build(ScriptedChat(TransientError("429", retry_after_s=7.0)))
    await ask(asker)
    assert slept == [7.0]
    asker.limits.pause(3.0)
    await ask(asker, "another")
    assert slept == [7.0, 3.0]


async def test_an_absurd_wish_is_left_to_a_later_run(build):
    asker, _ = build(ScriptedChat(TransientError("429", retry_after_s=1e6)))
    with pytest.raises(PreemptedError):
        await ask(asker)


async def test_exhausted_attempts_fail_without_a_last_sleep_and_stay_open(build):
    chat = ScriptedChat(*[TransientError("500")] * 3)
    asker, slept = build(chat)
    outcome = await ask(asker)
    assert (outcome.state, outcome.attempts, outcome.error) == ("failed", 3, "500")
    assert len(slept) == 2
    again, _ = build(chat)
    assert (await ask(again)).state == "answered"


async def test_a_rejected_request_is_closed_for_good(build):
    chat = ScriptedChat(RejectedError("413", finish_reason="too_long"))
    asker, _ = build(chat)
    assert (await ask(asker)).state == "too_long"
    assert (await ask(asker)).state == "too_long"
    assert chat.calls == 1


async def test_a_fatal_error_passes_through_and_costs_nothing(build):
    chat = ScriptedChat(UsageError("401"))
    asker, _ = build(chat)
    with pytest.raises(UsageError):
        await ask(asker)
    again, _ = build(chat)
    assert again.budget.spent_usd == 0.0
    assert (await ask(again)).state == "answered"


async def test_a_bug_passes_through(build):
    asker, _ = build(ScriptedChat(KeyError("choices")))
    with pytest.raises(KeyError):
        await ask(asker)


async def test_each_attempt_has_a_deadline(build):
    asker, _ = build(ScriptedChat("hang"), timeout_s=0.01)
    outcome = await ask(asker)
    assert outcome.attempts == 2
    assert outcome.uncertain_usd == pytest.approx(AT_MOST_USD)


async def test_the_budget_stops_before_the_call_that_could_pass_it(build):
    limit_usd = COST_USD + AT_MOST_USD
    asker, _ = build(chat := ScriptedChat(), limit_usd=limit_usd)
    await ask(asker, "q1")
    await ask(asker, "q2")
    with pytest.raises(RefusedError, match="budget"):
        await ask(asker, "q3")
    assert chat.calls == 2
    assert asker.budget.spent_usd == pytest.approx(2 * COST_USD)
    again, _ = build(chat, limit_usd=limit_usd)
    with pytest.raises(RefusedError, match="budget"):
        await ask(again, "q3")
    assert (await ask(again, "q1")).state == "answered"  # replayed at no cost
    assert chat.calls == 2


async def test_calls_that_may_be_billed_count_against_the_budget(build):
    lost = TransientError("dropped", may_be_billed=True)
    asker, _ = build(chat := ScriptedChat(lost), limit_usd=1.9 * AT_MOST_USD)
    with pytest.raises(RefusedError, match="budget"):
        await ask(asker)
    assert chat.calls == 1
    again, _ = build(chat, limit_usd=None)
    assert again.budget.spent_usd == pytest.approx(AT_MOST_USD)


async def test_an_answer_without_usage_counts_at_its_worst(build):
    silent = Answer(
        text="a", finish_reason="stop", returned_model="m", usage=None, request_id=""
    )
    asker, _ = build(ScriptedChat(silent))
    outcome = await ask(asker)
    assert outcome.cost_usd == 0.0
    assert outcome.uncertain_usd == pytest.approx(AT_MOST_USD)
    assert asker.budget.spent_usd == pytest.approx(AT_MOST_USD)


async def test_nothing_is_asked_while_stopping_but_answers_are_replayed(build):
    asker, _ = build(chat := ScriptedChat())
    await ask(asker, "known")
    asker.stop.request(RefusedError("enough"))
    assert (await ask(asker, "known")).state == "answered"
    with pytest.raises(StoppedError):
        await ask(asker, "new")
    assert chat.calls == 1


async def test_nothing_but_failures_breaks_the_circuit(build):
    asker, _ = build(ScriptedChat(*[TransientError("garbage")] * 99), max_attempts=1)
    for number in range(19):
        assert (await ask(asker, f"q{number}")).state == "failed"
    with pytest.raises(PreemptedError, match=r"20 questions in a row.*garbage"):
        await ask(asker, "q19")


async def test_one_answer_closes_the_circuit_again(build):
    failures = [TransientError("garbage")] * 19
    asker, _ = build(ScriptedChat(*failures, ANSWER, *failures), max_attempts=1)
    states = [(await ask(asker, f"q{number}")).state for number in range(39)]
    assert states.count("failed") == 38


async def test_an_intent_is_on_disk_before_the_call(build, tmp_path):
    path = tmp_path / "ledger.jsonl"
    seen = []

    class Watching(ScriptedChat):
        async def ask(self, messages, **options):
            lines = path.read_text().splitlines()
            seen.append([json.loads(line)["kind"] for line in lines])
            return await super().ask(messages, **options)

    asker, _ = build(Watching(TransientError("500")))
    await ask(asker)
    assert seen == [["intent"], ["intent", "intent"]]
