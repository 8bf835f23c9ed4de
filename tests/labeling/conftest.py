"""What the tests of labeling share: a local server, records, and askers of it."""

import importlib.util
from pathlib import Path

import pytest

from rlaif_jax.config_parts import EndpointConfig
from rlaif_jax.records import Comparison, Completion, Message, Prompt

KEY = "planted-key-9f8e7d"


def _load_server():
    spec = importlib.util.spec_from_file_location(
        "labeling_server", Path(__file__).with_name("server.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def server(anyio_backend):
    async with _load_server().ChatServer().running() as running:
        yield running


@pytest.fixture
def rate_limit():
    return _load_server().RateLimit


@pytest.fixture
def endpoint(server):
    """Builds a config of the server for one wire format."""

    def build(api="openai", **fields):
        base_url = server.openai_url if api == "openai" else server.anthropic_url
        defaults = {"max_in_flight": 4, "timeout_s": 5.0, "max_attempts": 3}
        return EndpointConfig(
            api=api, base_url=base_url, model="judge-1", **(defaults | fields)
        )

    return build


def make_prompt(text="What is 2+2?"):
    return Prompt.create((Message(role="user", content=text),), source="test")


def make_comparison(number=0, first="good", second="bad"):
    prompt = make_prompt(f"question {number}")
    return Comparison.create(
        prompt,
        Completion.create(prompt.prompt_id, first, generator="one"),
        Completion.create(prompt.prompt_id, second, generator="two"),
    )


@pytest.fixture
def prompt():
    return make_prompt


@pytest.fixture
def comparison():
    return make_comparison


@pytest.fixture
def key():
    return KEY
