"""Tests of `rlaif_jax.labeling.asking`: no network, no real time."""

import asyncio
import json
from typing import ClassVar

import pytest

from rlaif_jax.errors import PreemptedError, RefusedError, UsageError
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.backoff import Backoff
from rlaif_jax.labeling.budget import Budget, Prices
from rlaif_jax.labeling.chat import Answer, RejectedError, TransientError
from rlaif_jax.labeling.circuit import Circuit
from rlaif_jax.labeling.concurrency import Concurrency
from rlaif_jax.labeling.ledger import Ledger
from rlaif_jax.labeling.limits import Limits
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.labeling.question import Question
from rlaif_jax.labeling.stop import Stop, StoppedError
from rlaif_jax.labeling.watchdog import Watchdog
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
    settings: ClassVar[dict[str, str]] = {}

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

    def request(self, messages, **options):
        raise AssertionError("nothing of a call is asked apart")

    async def close(self):
        pass


class SlowChat(ScriptedChat):
    """A scripted chat each of whose calls takes that long, on the clock of `sleep`."""

    def __init__(self, *script, seconds):
        super().__init__(*script)
        self.seconds = seconds

    async def ask(self, messages, **options):
        await self.sleep(self.seconds)
        return await super().ask(messages, **options)


@pytest.fixture
def build(tmp_path):
    """Builds askers on one ledger file; their sleeps are noted, not slept."""
    open_ledgers = []

    def build(chat, *, limit_usd=None, max_attempts=3, **times):
        for ledger in open_ledgers:
            ledger.__exit__(None, None, None)
        open_ledgers[:] = [Ledger(tmp_path / "ledger.jsonl")]
        slept, stop = [], Stop()
        now = [0.0]

        async def sleep(seconds):
            slept.append(seconds)
            now[0] += seconds

        def clock():
            return now[0]

        chat.sleep = sleep
        times = {"timeout_s": 60.0, "question_timeout_s": 900.0} | times
        asker = Asker(
            chat=chat,
            ledger=open_ledgers[0],
            prices=Prices(input_usd=1.0, output_usd=1.0),
            budget=Budget(limit_usd=limit_usd, spent_usd=open_ledgers[0].spent_usd),
            limits=Limits(
                concurrency=Concurrency(max_in_flight=8),
                circuit=Circuit(clock=clock),
                stop=stop,
                sleep=sleep,
                clock=clock,
            ),
            stop=stop,
            backoff=Backoff(max_attempts=max_attempts),
            max_tokens=5,
            watchdog=Watchdog("judge", after_s=60.0),
            sleep=sleep,
            clock=clock,
            uniform=lambda: 0.5,
            **times,
        )
        return asker, slept

    yield build
    for ledger in open_ledgers:
        ledger.__exit__(None, None, None)


def ask(asker, text="Hi", **fields):
    messages = (Message(role="user", content=text),)
    question = Question(messages=messages, item="pair:ab", template_hash="t", **fields)
    return asker.ask_once(question)


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


async def test_what_a_model_is_told_besides_is_another_question(build, tmp_path):
    asker, _ = build(chat := ScriptedChat())
    await ask(asker)
    # as it was before there were settings: ledgers go on
    key = "5a001e58c02e50d7abbed438b1d9afd62c59d4f68fc1f21e3c31a8fefbc0da6d"
    assert asker.ledger.find(key) is not None
    chat.settings = {"reasoning_effort": "low"}
    await ask(asker)
    await ask(asker)
    assert chat.calls == 2


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


async def test_the_ledger_has_the_kind_of_every_fault(build, tmp_path):
    limited = TransientError("slow down", fault="rate_limit")
    script = [limited, TransientError("500"), limited, ANSWER, "hang", "hang"]
    asker, _ = build(ScriptedChat(*script), max_attempts=4, timeout_s=0.01)
    await ask(asker, "refused twice")
    asker.backoff = Backoff(max_attempts=2)
    await ask(asker, "never answered")
    await ask(asker, "answered")
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    results = [one for one in map(json.loads, lines) if one["kind"] == "result"]
    assert [one.get("faults") for one in results] == [
        {"rate_limit": 2, "server_error": 1},
        {"deadline": 2},
        None,
    ]
    assert [one["attempts"] for one in results] == [4, 2, 1]


async def test_all_attempts_of_a_question_share_a_deadline(build):
    chat = SlowChat(*[TransientError("500")] * 9, seconds=40.0)
    asker, slept = build(chat, question_timeout_s=100.0, max_attempts=9)
    outcome = await ask(asker)
    # 40 + 0.5 + 40 + 1 + 40: nothing is left for a fourth call
    assert (outcome.state, outcome.attempts) == ("failed", 3)
    assert outcome.error == "500; question_timeout_s=100 is used up"
    assert slept == [40.0, 0.5, 40.0, 1.0, 40.0]


async def test_the_last_attempt_gets_what_is_left_of_the_deadline(build):
    asker, _ = build(ScriptedChat("hang"), question_timeout_s=0.01)
    outcome = await ask(asker)
    assert (outcome.state, outcome.attempts) == ("failed", 1)
    assert outcome.error.startswith("h did not answer within 0.01 s; question_timeout")


async def test_waits_that_the_server_asks_for_do_not_use_a_question_up(build):
    later = TransientError("429", retry_after_s=500.0, fault="rate_limit")
    asker, slept = build(ScriptedChat(later, later), question_timeout_s=100.0)
    assert (await ask(asker)).state == "answered"
    assert slept == [500.0, 500.0]


async def test_what_waits_to_be_asked_again_holds_nothing_new_back(build):
    chat = ScriptedChat(TransientError("500"))
    asker, _ = build(chat)
    asker.limits.concurrency = Concurrency(max_in_flight=1)
    ended, fresh_has_ended = [], asyncio.Event()

    async def wait_for_fresh(seconds):
        await fresh_has_ended.wait()

    asker.sleep = wait_for_fresh

    async def note(text):
        await ask(asker, text)
        ended.append(text)
        if text == "fresh 2":
            fresh_has_ended.set()

    await asyncio.gather(*(note(text) for text in ("failing", "fresh 1", "fresh 2")))
    assert ended == ["fresh 1", "fresh 2", "failing"]


async def test_the_watchdog_sees_a_call_while_it_is_under_way(build):
    seen = []

    class Watched(ScriptedChat):
        async def ask(self, messages, **options):
            seen.append(asker.watchdog._oldest()[0])
            return await super().ask(messages, **options)

    asker, _ = build(Watched())
    await ask(asker)
    assert seen == ["pair:ab"] and asker.watchdog._oldest() == ("", 0.0)


async def test_a_server_that_is_gone_is_given_up_after_a_few_calls(build):
    asker, _ = build(chat := ScriptedChat(*[TransientError("garbage")] * 99))
    for number in range(3):
        assert (await ask(asker, f"q{number}")).state == "failed"
    with pytest.raises(PreemptedError, match=r"12 calls in a row.*garbage"):
        await ask(asker, "q3")
    assert chat.calls == 12  # three attempts each, the tenth opens, two try again
    again, _ = build(ScriptedChat())
    assert (await ask(again, "q3")).state == "answered"


async def test_nothing_but_rate_limits_stops_the_run(build):
    limited = [TransientError("slow down", fault="rate_limit")] * 99
    asker, _ = build(ScriptedChat(*limited), max_attempts=1)
    for number in range(19):
        assert (await ask(asker, f"q{number}")).state == "failed"
    with pytest.raises(PreemptedError, match=r"20 questions in a row.*slow down"):
        await ask(asker, "q19")


async def test_one_answer_lets_the_count_of_failed_questions_begin_again(build):
    limited = [TransientError("slow down", fault="rate_limit")] * 19
    asker, _ = build(ScriptedChat(*limited, ANSWER, *limited), max_attempts=1)
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


async def test_what_is_open_may_be_left_open(build):
    chat = ScriptedChat()
    asker, _ = build(chat)
    await ask(asker, "answered")
    asker.if_open = Outcome.of_failure("later", uncertain_usd=0.0, attempts=0)
    assert (await ask(asker, "answered")).state == "answered"
    for _ in range(30):  # not a run of failures: nobody was asked
        assert await ask(asker, "open") is asker.if_open
    assert chat.calls == 1 and asker.ledger.num_calls == 1
