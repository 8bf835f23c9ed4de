"""Tests of `rlaif_jax.labeling.tokens`."""

from rlaif_jax.labeling.tokens import expected_prompt_tokens, most_prompt_tokens
from rlaif_jax.records import Message


def test_tokens_are_expected_at_four_bytes_and_four_around_each_turn():
    # 5 + 8 bytes are 3.25 tokens, and two turns
    messages = (
        Message(role="system", content="Brief"),
        Message(role="user", content="äöüß"),
    )
    assert expected_prompt_tokens(messages) == 4 + 2 * 4


def test_no_token_is_shorter_than_a_byte():
    assert most_prompt_tokens((Message(role="user", content="äöü"),)) == 6 + 32


def test_half_a_character_can_be_counted():
    assert most_prompt_tokens((Message(role="user", content="\ud800"),)) == 3 + 32
