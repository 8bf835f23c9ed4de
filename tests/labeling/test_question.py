"""Tests of `rlaif_jax.labeling.question`."""

import dataclasses

import pytest

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.labeling.ledger import question_key
from rlaif_jax.labeling.question import Addressee, Question
from rlaif_jax.records import Message

MESSAGES = (Message(role="user", content="Hi"),)
QUESTION = Question(messages=MESSAGES, item="pair:ab", template_hash="t")
CONFIG = EndpointConfig(api="openai", base_url="http://h/v1", model="m", max_tokens=5)


def test_the_key_is_that_of_earlier_ledgers():
    key = Addressee.of(CONFIG).key(dataclasses.replace(QUESTION, seed=3, vote=1))
    assert key == question_key(
        MESSAGES,
        api="openai",
        endpoint="http://h/v1",
        max_tokens=5,
        model="m",
        seed=3,
        temperature=None,
        template_hash="t",
        vote=1,
    )
    assert len(key) == 64  # as long as Anthropic lets a custom_id be


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (Message(role="user", content="Ho"),)},
        {"template_hash": "u"},
        {"seed": 0},
        {"vote": 1},
    ],
)
def test_what_changes_the_answer_changes_the_key(change):
    other = dataclasses.replace(QUESTION, **change)
    assert Addressee.of(CONFIG).key(other) != Addressee.of(CONFIG).key(QUESTION)


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"temperature": 0.0}, False),
        ({"max_tokens": 6}, False),
        ({"identity": "lab"}, False),
        ({"max_in_flight": 1, "usd_per_million_input_tokens": 1.0}, True),
    ],
)
def test_prices_and_limits_are_not_part_of_it(change, is_same):
    other = Addressee.of(CONFIG.model_copy(update=change))
    assert (other.key(QUESTION) == Addressee.of(CONFIG).key(QUESTION)) is is_same


def test_what_it_is_about_is_not_part_of_the_key():
    other = dataclasses.replace(QUESTION, item="another")
    assert Addressee.of(CONFIG).key(other) == Addressee.of(CONFIG).key(QUESTION)
