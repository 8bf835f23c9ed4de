"""How probable each verdict was, read from the tokens of a reply."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from rlaif_jax.labeling.chat import Token
from rlaif_jax.labeling.verdicts import Grammar


class VerdictOdds(NamedTuple):
    """What the model would have said, had it been asked very often.

    Attributes:
      p_a: Probability of (a), given that the reply is one of the two verdicts.
      mass: Probability of either; the rest would have been something else.
    """

    p_a: float
    mass: float


def verdict_odds(
    reply: str, tokens: Sequence[Token], grammar: Grammar
) -> VerdictOdds | None:
    """The odds of the two verdicts where the reply settled on one of them.

    Every likely token there is counted for the verdict that it begins, whatever else
    of the verdict it holds: `a`, `a)` and `(a` are all (a).

    Args:
      reply: The text of the answer.
      tokens: Its first tokens.
      grammar: Tells where the reply could have become the other verdict.

    Returns:
      None if the reply is no verdict, or neither verdict is among the likely tokens.

    Raises:
      ValueError: If the tokens do not spell the reply as far as its verdict.
    """
    fork = grammar.fork(reply)
    if fork is None:
        return None
    token, head = _token_at(reply, tokens, fork.place)
    likely = dict(token.top)
    likely.setdefault(token.text, token.logp)
    weights = [
        sum(
            math.exp(logp)
            for text, logp in likely.items()
            if _goes_on(_encoded(text), head, _encoded(tail))
        )
        for tail in fork.tails
    ]
    mass = sum(weights)
    if mass <= 0.0:
        return None
    return VerdictOdds(weights[0] / mass, min(mass, 1.0))


def _token_at(reply: str, tokens: Sequence[Token], place: int) -> tuple[Token, bytes]:
    """The token that holds a byte of the reply, and what it holds before that byte."""
    spelled = b"".join(_encoded(token.text) for token in tokens)
    start = len(spelled) - len(spelled.lstrip())
    wanted = _encoded(reply.strip())[:place]
    end = start + place
    if spelled[start:end] != wanted or end >= len(spelled):
        raise ValueError(f"the first {len(tokens)} tokens do not spell its verdict")
    for token in tokens:
        text = _encoded(token.text)
        if end < len(text):
            return token, text[:end]
        end -= len(text)
    raise AssertionError  # `end` lies in one of them


def _goes_on(text: bytes, head: bytes, tail: bytes) -> bool:
    """Whether a token, after `head`, begins `tail` or holds it as a whole word."""
    rest = text.removeprefix(head)
    if len(rest) + len(head) != len(text) or not rest:
        return False
    if len(rest) <= len(tail):
        return tail.startswith(rest)
    return rest.startswith(tail) and not rest[len(tail) : len(tail) + 1].isalnum()


def _encoded(text: str) -> bytes:
    """The bytes of a token, which may hold a part of a character."""
    return text.encode("utf-8", "surrogateescape")
