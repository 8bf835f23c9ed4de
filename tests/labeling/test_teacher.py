"""Tests of `rlaif_jax.labeling.teacher`, against a real local server."""

import pytest

from rlaif_jax.labeling.session import open_asker
from rlaif_jax.labeling.teacher import ChatTeacher, Draw, draws
from rlaif_jax.records import Completion, Usage

pytestmark = pytest.mark.anyio


@pytest.fixture
async def completed(server, endpoint, tmp_path):
    async def complete(prompt, api="openai", *, number=0, effort=None, **fields):
        config = endpoint(api, max_attempts=1, temperature=0.7, reasoning_effort=effort)
        async with open_asker(
            config,
            api_key=None,
            ledger=tmp_path / "l.jsonl",
            budget_usd=None,
        ) as asker:
            return await ChatTeacher(asker=asker, **fields).complete(
                Draw(prompt, number)
            )

    return complete


@pytest.mark.parametrize("api", ["openai", "openai_responses", "anthropic"])
async def test_a_prompt_is_completed_as_it_is(completed, prompt, server, api):
    completion = await completed(prompt("Hi"), api, generator="gpt", seed=3)
    assert completion == Completion.create(
        prompt("Hi").prompt_id,
        "echo Hi",
        generator="gpt",
        sampling={
            "model": "judge-1",
            "temperature": 0.7,
            "max_tokens": 512,
            "seed": 3,
        },
        usage=Usage(prompt_tokens=100, completion_tokens=4),
    )
    turns = server.requests[0]["input" if "responses" in api else "messages"]
    assert turns == [{"role": "user", "content": "Hi"}]


def test_every_prompt_is_drawn_several_times_in_a_row(prompt):
    one, two = prompt("one"), prompt("two")
    assert [*draws([one, two], 2)] == [(one, 0), (one, 1), (two, 0), (two, 1)]
    seeds = {Draw(one, n).seed(seed) for n in range(4) for seed in range(50)}
    assert len(seeds) == 200 and all(0 <= seed < 2**31 for seed in seeds)
    assert [Draw(one).seed(seed) for seed in (0, 7)] == [0, 7]


async def test_each_draw_is_a_question_with_a_seed_of_its_own(
    completed, prompt, server
):
    found = [await completed(prompt(), number=n, seed=3) for n in (0, 1, 2, 1)]
    assert found[1] == found[3]
    assert len({one.completion_id for one in found}) == 3
    sent = [one["seed"] for one in server.requests]
    assert sent == [one.sampling["seed"] for one in found[:3]]
    assert sent[0] == 3 and len(set(sent)) == 3


async def test_an_effort_is_told_with_the_sampling_if_it_is_set(completed, prompt):
    low = await completed(prompt(), effort="low")
    assert low.sampling["reasoning_effort"] == "low"
    assert "reasoning_effort" not in (await completed(prompt())).sampling


async def test_the_models_name_is_the_default_writer(completed, prompt):
    assert (await completed(prompt())).generator == "judge-1"


@pytest.mark.parametrize(
    ("fault", "finish_reason"),
    [
        ("length", "length"),
        ("refusal", "refusal"),
        ("content_filter", "content_filter"),
        ("too-long", "too_long"),
        ("500", "failed"),
    ],
)
async def test_every_end_is_told(completed, prompt, server, fault, finish_reason):
    server.faults.append(fault)
    completion = await completed(prompt())
    assert completion.finish_reason == finish_reason


async def test_its_question_is_the_one_that_it_asks(server, endpoint, prompt, tmp_path):
    async with open_asker(
        endpoint(), api_key=None, ledger=tmp_path / "l.jsonl", budget_usd=None
    ) as asker:
        teacher = ChatTeacher(asker=asker, seed=3)
        (posed,) = teacher.questions(Draw(prompt()))
        assert posed.asker is asker
        await asker.ask_once(posed.question)
        assert (await teacher.complete(Draw(prompt()))).text == "echo What is 2+2?"
    assert len(server.requests) == 1
