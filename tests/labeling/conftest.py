"""What the tests of labeling share: a local server, records, and askers of it."""

import importlib.util
from pathlib import Path

import pytest

from rlaif_jax.config_endpoints import CriticConfig
from rlaif_jax.labeling.critic import verdict_of
from rlaif_jax.labeling.judged import Call, Judged
from rlaif_jax.records import Comparison, Completion, Label, Message, Prompt, Verdict

KEY = "planted-key-9f8e7d"


def _load(name):
    spec = importlib.util.spec_from_file_location(
        f"labeling_{name}", Path(__file__).with_name(f"{name}.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def server(anyio_backend):
    module = _load("server")
    chat = module.ChatServer()
    bodies = module.openai_body, module.anthropic_body
    _load("batch_server").BatchServer(chat, *bodies)
    async with chat.running() as running:
        yield running


@pytest.fixture
def batches(server):
    """The server's Batch APIs."""
    return server.batches


@pytest.fixture
def rate_limit():
    return _load("server").RateLimit


@pytest.fixture
def endpoint(server):
    """Builds a config of the server for one wire format."""

    def build(api="openai", **fields):
        base_url = server.anthropic_url if api == "anthropic" else server.openai_url
        defaults = {"max_in_flight": 4, "timeout_s": 5.0, "max_attempts": 3}
        if api == "openai_decisions":
            defaults["verdicts"] = "soft"
        return CriticConfig(
            api=api, base_url=base_url, **({"model": "judge-1"} | defaults | fields)
        )

    return build


def make_prompt(text="What is 2+2?"):
    return Prompt.create((Message(role="user", content=text),), source="test")


def make_judged(number=0, *, p_first=1.0, texts=("good", "bad"), **fields):
    """A comparison of question `number` with its label.

    fields: writers, calls ((swapped, verdict), ...), state, critic, cost_usd,
    num_calls, place, is_cut_known, finish_reasons.
    """
    prompt = make_prompt(f"question {number}")
    writers = fields.get("writers", ("one", "two"))
    reasons = fields.get("finish_reasons", ("stop", "stop"))
    comparison = Comparison.create(
        prompt,
        *(
            Completion.create(prompt.prompt_id, text, generator=writer, finish_reason=r)
            for text, writer, r in zip(texts, writers, reasons, strict=True)
        ),
    )
    calls = fields.get("calls", ())
    verdict = verdict_of(p_first)
    usual = "unparsable" if verdict is Verdict.FAILED else "labeled"
    label = Label(
        pair_id=comparison.pair_id,
        verdict=verdict,
        p_first=p_first,
        verdict_both_orders=",".join(verdict for _, verdict in calls),
        state=fields.get("state", usual),
        critic=fields.get("critic", "judge"),
        critic_returned_model="",
        template_hash="",
        cost_usd=fields.get("cost_usd", 0.0),
        calls=fields.get("num_calls", 0),
    )
    return Judged(
        comparison=comparison,
        label=label,
        calls=tuple(
            Call(swapped=swapped, verdict=Verdict(verdict))
            for swapped, verdict in calls
        ),
        place=fields.get("place", 0.0),
        is_cut_known=fields.get("is_cut_known", False),
    )


@pytest.fixture
def judged():
    return make_judged


def make_comparison(number=0, first="good", second="bad"):
    prompt = make_prompt(f"question {number}")
    return Comparison.create(
        prompt,
        Completion.create(prompt.prompt_id, first, generator="one"),
        Completion.create(prompt.prompt_id, second, generator="two"),
    )


@pytest.fixture(scope="session")
def hostile():
    return _load("hostile")


@pytest.fixture
def prompt():
    return make_prompt


@pytest.fixture
def comparison():
    return make_comparison


@pytest.fixture
def key():
    return KEY
