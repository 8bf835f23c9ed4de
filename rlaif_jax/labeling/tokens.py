"""How many tokens a prompt is, before a server has counted them."""

from collections.abc import Sequence

from rlaif_jax.records import Message

BYTES_PER_TOKEN = 4  # of English text; fewer in code and other languages
_EXPECTED_AROUND_A_TURN = 4  # what a chat template adds
_MOST_AROUND_A_TURN = 32  # what it may add, generously


def expected_prompt_tokens(messages: Sequence[Message]) -> int:
    """The tokens of a prompt at `BYTES_PER_TOKEN`."""
    num_turn_tokens = _EXPECTED_AROUND_A_TURN * len(messages)
    return -(-_num_bytes(messages) // BYTES_PER_TOKEN) + num_turn_tokens


def most_prompt_tokens(messages: Sequence[Message]) -> int:
    """The tokens that a prompt can be at most: no token is shorter than a byte."""
    return _num_bytes(messages) + _MOST_AROUND_A_TURN * len(messages)


def _num_bytes(messages: Sequence[Message]) -> int:
    return sum(len(one.content.encode("utf-8", "surrogatepass")) for one in messages)
