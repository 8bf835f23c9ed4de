"""The server, through the official clients of both vendors."""

import asyncio
import json
import math
import socket
import threading
import urllib.error
import urllib.request

import anthropic
import openai
import pytest

from rlaif_jax.config_parts import FaultsConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.lab.faults import fault_at
from rlaif_jax.lab.server import run_in_thread, serve
from rlaif_jax.lab.variants import VARIANTS, teachers
from rlaif_jax.labeling.wording import VERDICT
from rlaif_jax.records import Comparison, Completion, Message, Prompt

INSTRUCTION = "Reverse bado"


@pytest.fixture(scope="module")
def url():
    with run_in_thread() as address:
        yield address


def _ask_openai(url, *, text=INSTRUCTION, model="lab-teacher-weak", **options):
    async def ask():
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1",
            api_key="none",
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(),
        ) as client:
            messages = [{"role": "user", "content": text}]
            return await client.chat.completions.create(
                model=model, messages=messages, **options
            )

    return asyncio.run(ask())


def _ask_anthropic(url, *, text=INSTRUCTION, model="lab-teacher-weak"):
    async def ask():
        async with anthropic.AsyncAnthropic(
            base_url=url,
            api_key="none",
            max_retries=0,
            http_client=anthropic.DefaultAioHttpClient(),
        ) as client:
            messages = [{"role": "user", "content": text}]
            return await client.messages.create(
                model=model, messages=messages, max_tokens=64
            )

    return asyncio.run(ask())


def test_openais_client_gets_the_teachers_completion(url):
    teacher = teachers(VARIANTS["default"])["lab-teacher-weak"]
    response = _ask_openai(url, seed=3)
    assert response.choices[0].message.content == teacher.complete(INSTRUCTION, seed=3)
    assert response.choices[0].finish_reason == "stop"
    assert response.model == "lab-teacher-weak"
    assert response.usage.prompt_tokens == 3  # 12 characters
    assert response.usage.total_tokens == 3 + response.usage.completion_tokens
    assert response._request_id.startswith("req_lab_")


def test_anthropics_client_gets_the_same_completion(url):
    teacher = teachers(VARIANTS["default"])["lab-teacher-weak"]
    response = _ask_anthropic(url)
    assert response.content[0].text == teacher.complete(INSTRUCTION)
    assert response.stop_reason == "end_turn"
    assert response.usage.input_tokens == 3
    assert response._request_id.startswith("req_lab_")


def test_a_critic_judges_the_projects_own_prompt(url):
    prompt = Prompt.create((Message(role="user", content=INSTRUCTION),), source="s")
    right, wrong = (
        Completion.create(prompt.prompt_id, text, generator="g")
        for text in ("odab", "x")
    )
    comparison = Comparison.create(prompt, wrong, right)
    replies = []
    for swapped in (False, True):
        text = VERDICT.messages(comparison, swapped=swapped)[-1].content
        reply = _ask_openai(url, text=text, model="lab-evaluator")
        replies.append(reply.choices[0].message.content)
        by_anthropic = _ask_anthropic(url, text=text, model="lab-evaluator")
        assert by_anthropic.content[0].text == replies[-1]
    assert sorted(replies) == ["Output (a)", "Output (b)"]


def _judging(swapped=False):
    prompt = Prompt.create((Message(role="user", content=INSTRUCTION),), source="s")
    right, wrong = (
        Completion.create(prompt.prompt_id, text, generator="g")
        for text in ("odab", "x")
    )
    comparison = Comparison.create(prompt, wrong, right)
    return VERDICT.messages(comparison, swapped=swapped)[-1].content


def _with_openai(url, call):
    async def ask():
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="none", max_retries=0
        ) as client:
            return await call(client)

    return asyncio.run(ask())


@pytest.mark.parametrize("swapped", [False, True])
def test_a_critic_tells_its_probability_in_every_format(url, swapped):
    text, model = _judging(swapped), "lab-critic-strong"
    options = {"logprobs": True, "top_logprobs": 20}
    said = _ask_openai(url, text=text, model=model, **options).choices[0]
    letter = said.logprobs.content[1]
    top = {one.token: math.exp(one.logprob) for one in letter.top_logprobs}
    assert top[letter.token] == pytest.approx(0.95)
    assert said.message.content == f"Output ({letter.token})"
    response = _with_openai(
        url,
        lambda client: client.responses.create(
            model=model,
            input=[{"role": "user", "content": text}],
            include=["message.output_text.logprobs"],
            top_logprobs=20,
        ),
    )
    assert response.output_text == said.message.content
    (part,) = response.output[0].content
    assert [one.token for one in part.logprobs] == ["Output (", letter.token, ")"]
    choices = [{"value": "Output (a)"}, {"value": "Output (b)"}]
    question = {"type": "choice", "instructions": "Which?", "choices": choices}
    decision = _with_openai(
        url,
        lambda client: client.decisions.create(
            model=model, input=text, questions=[question]
        ),
    )
    (answer,) = decision.answers
    assert answer.choice == said.message.content
    odds = {one.value: one.probability for one in answer.probabilities}
    assert odds == pytest.approx({f"Output ({x})": p for x, p in top.items()})


def test_a_teacher_tells_no_probability_and_decides_nothing(url):
    response = _ask_openai(url, logprobs=True, top_logprobs=20)
    assert response.choices[0].logprobs is None
    choices = [{"value": "Output (a)"}, {"value": "Output (b)"}]
    question = {"type": "choice", "instructions": "Which?", "choices": choices}
    for model, words in (
        ("lab-teacher-weak", "does not judge"),
        ("lab-evaluator", "found no instruction"),
    ):
        with pytest.raises(openai.BadRequestError, match=words):
            _with_openai(
                url,
                lambda client, model=model: client.decisions.create(
                    model=model, input="Hi", questions=[question]
                ),
            )


def test_a_critic_says_nothing_but_what_is_allowed(url):
    allowed = {"structured_outputs": {"choice": ["Yes", "No"]}}
    reply = _ask_openai(url, model="lab-evaluator", extra_body=allowed)
    assert reply.choices[0].message.content == "Yes"
    allowed["structured_outputs"]["choice"] = ["Output (a)", "Output (b)"]
    for swapped in (False, True):
        text = _judging(swapped)
        free = _ask_openai(url, text=text, model="lab-evaluator")
        held = _ask_openai(url, text=text, model="lab-evaluator", extra_body=allowed)
        assert held.choices[0].message == free.choices[0].message


def test_both_clients_list_the_models(url):
    async def names():
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
            ours = [model.id async for model in client.models.list()]
        async with anthropic.AsyncAnthropic(base_url=url, api_key="none") as client:
            theirs = [model.id async for model in client.models.list()]
        return ours, theirs

    ours, theirs = asyncio.run(names())
    assert ours == theirs
    assert set(ours) == {
        "lab-teacher-weak",
        "lab-teacher-strong",
        "lab-teacher-other",
        "lab-critic-strong",
        "lab-critic-weak",
        "lab-critic-other",
        "lab-evaluator",
        "lab-evaluator-other",
    }


def test_an_unknown_model_is_not_found_in_each_vendors_words(url):
    with pytest.raises(openai.NotFoundError) as ours:
        _ask_openai(url, model="gpt-4")
    assert ours.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError, match="lab-teacher-weak") as theirs:
        _ask_anthropic(url, model="claude")
    assert theirs.value.body["error"]["type"] == "not_found_error"


def test_a_critic_asked_something_else_refuses(url):
    with pytest.raises(openai.BadRequestError, match="found no instruction"):
        _ask_openai(url, model="lab-critic-strong")
    with pytest.raises(anthropic.BadRequestError, match="found no instruction"):
        _ask_anthropic(url, model="lab-critic-weak")


def test_a_reply_longer_than_max_tokens_is_cut(url):
    response = _ask_openai(url, text="What is love?", max_tokens=2)
    assert response.choices[0].message.content == "I do not"
    assert response.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate_limited", openai.RateLimitError),
        ("server_error", openai.InternalServerError),
        ("truncated", json.JSONDecodeError),
        ("dropped", openai.APIConnectionError),
    ],
)
def test_each_fault_reaches_openais_client_as_what_it_is(fault, error):
    with (
        run_in_thread(faults=FaultsConfig(**{fault: 1.0})) as url,
        pytest.raises(error),
    ):
        _ask_openai(url)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate_limited", anthropic.RateLimitError),
        ("server_error", anthropic.InternalServerError),
        ("dropped", anthropic.APIConnectionError),
    ],
)
def test_each_fault_reaches_anthropics_client_as_what_it_is(fault, error):
    with (
        run_in_thread(faults=FaultsConfig(**{fault: 1.0})) as url,
        pytest.raises(error),
    ):
        _ask_anthropic(url)


def test_a_web_page_comes_with_status_200():
    with run_in_thread(faults=FaultsConfig(html=1.0)) as url:
        assert "maintenance" in str(_ask_openai(url))


def test_a_rate_limit_says_when_to_come_back():
    faults = FaultsConfig(rate_limited=1.0, retry_after_s=7)
    with (
        run_in_thread(faults=faults) as url,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        _ask_openai(url)
    assert caught.value.response.headers["retry-after"] == "7"


def test_faults_depend_on_the_number_of_the_request():
    faults = FaultsConfig(server_error=0.5)
    outcomes = []
    with run_in_thread(faults=faults) as url:
        for _ in range(8):
            try:
                _ask_openai(url)
                outcomes.append(None)
            except openai.InternalServerError:
                outcomes.append("server_error")
    assert outcomes == [fault_at(faults, number) for number in range(8)]


def test_a_variant_changes_the_answers():
    texts = [f"Reverse ba{letter}o" for letter in "cdfghjklmnpqrstvwxyz"]

    def ask_all(url):
        return [
            _ask_openai(url, text=text, model="lab-teacher-strong")
            .choices[0]
            .message.content
            for text in texts
        ]

    with run_in_thread() as url, run_in_thread("poorer_strong_teacher") as poorer:
        assert ask_all(url) != ask_all(poorer)


def test_latency_is_waited_for_through_the_loop(monkeypatch):
    slept = []

    async def sleep(delay_s):
        slept.append(delay_s)

    monkeypatch.setattr("rlaif_jax.lab.server.asyncio.sleep", sleep)
    with run_in_thread(latency_s=30.0) as url:
        _ask_openai(url)
    assert 30.0 in slept


def _post_score(url, items):
    request = urllib.request.Request(f"{url}/score", json.dumps(items).encode())
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def test_the_scorer_tells_the_truth_of_its_variant():
    messages = [{"role": "user", "content": INSTRUCTION}]
    item = {"messages": messages, "text": "The answer is odab."}
    with run_in_thread() as url, run_in_thread("no_style") as plain:
        assert _post_score(url, [item])[0]["reward"] == pytest.approx(1.2)
        assert _post_score(plain, [item])[0]["reward"] == 1.0


def test_the_scorer_refuses_what_has_no_truth(url):
    item = {"messages": [{"role": "user", "content": "Hi"}], "text": "x"}
    with pytest.raises(urllib.error.HTTPError) as caught:
        _post_score(url, [item])
    with caught.value as response:
        assert response.status == 400
        assert "no task of the lab" in json.load(response)["error"]["message"]


def test_a_taken_port_is_a_usage_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f":{port}"), run_in_thread(port=port):
            pass


def test_an_unknown_variant_is_a_usage_error():
    with pytest.raises(UsageError, match="no lab variant"), run_in_thread("hard"):
        pass


def test_serve_reports_its_url_and_ends_when_cancelled():
    async def serve_briefly():
        urls = []
        reported = asyncio.Event()

        def report(url):
            urls.append(url)
            reported.set()

        serving = asyncio.create_task(serve(port=0, report=report))
        await reported.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        return urls

    (url,) = asyncio.run(serve_briefly())
    assert url.startswith("http://127.0.0.1:") and not url.endswith(":0")


def test_the_thread_ends_with_the_block_and_an_error_inside_gets_out():
    before = threading.active_count()
    with pytest.raises(KeyError), run_in_thread():
        raise KeyError("x")
    assert threading.active_count() == before
