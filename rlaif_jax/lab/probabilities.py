"""How probable a critic's verdict was, told token by token."""

import math
from typing import NamedTuple

from rlaif_jax.lab.comparisons import FIRST, SECOND
from rlaif_jax.typing import Json

_LEAST = 1e-9  # probability; JSON has no word for the logarithm of zero
_HEAD = FIRST[: FIRST.index("a")]


class SpelledToken(NamedTuple):
    """A token of a reply, and the log-probabilities of what could stand there."""

    text: str
    logps: dict[str, float]


def spell(reply: str, p_first: float) -> tuple[SpelledToken, ...]:
    """The tokens of a reply with a verdict in it, whose letter is one of them.

    Args:
      reply: Holds a verdict; nothing is told of one that holds none.
      p_first: Probability of the verdict for the output shown first.
    """
    if FIRST not in reply and SECOND not in reply:
        return ()
    place = reply.index(_HEAD) + len(_HEAD)
    letters = {"a": _logp(p_first), "b": _logp(1.0 - p_first)}
    head, letter, tail = reply[:place], reply[place], reply[place + 1 :]
    return (
        SpelledToken(head, {head: 0.0}),
        SpelledToken(letter, letters),
        SpelledToken(tail, {tail: 0.0}),
    )


def tokens_json(tokens: tuple[SpelledToken, ...], reply: str) -> list[Json]:
    """The tokens of a reply, as far as it goes: it may have been cut."""
    rows: list[Json] = []
    for token in tokens:
        if not reply.startswith(token.text):
            break
        reply = reply[len(token.text) :]
        top = [_row(text, logp) for text, logp in token.logps.items()]
        rows.append(_row(token.text, token.logps[token.text]) | {"top_logprobs": top})
    return rows


def _row(text: str, logp: float) -> Json:
    return {"token": text, "logprob": logp, "bytes": list(text.encode())}


def _logp(p: float) -> float:
    return math.log(max(p, _LEAST))
