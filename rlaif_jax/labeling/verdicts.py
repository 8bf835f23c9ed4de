"""What a critic's reply says, by a strict grammar.

A reply counts only if its first line is a verdict and nothing else, and no later line
begins with the opposite verdict. Searching a reply for the first label it mentions
would favour Output (a) whenever a critic quotes both.
"""

import re
from typing import Literal

Choice = Literal["a", "b"]

_VERDICT = re.compile(r"(?:Output )?\(([ab])\)\.?|([ab])")
_LINE_START = re.compile(r"(?:Output )?\(([ab])\)")


def parse_choice(reply: str) -> Choice | None:
    """The answer that the critic chose; None if the reply is not a verdict.

    Args:
      reply: The critic's text: `Output (a)`, `(a)` or `a`, and an explanation on
        further lines at most.
    """
    lines = [line.strip() for line in reply.strip().splitlines()]
    first = _VERDICT.fullmatch(lines[0]) if lines else None
    if first is None:
        return None
    choice = first[1] or first[2]
    for line in lines[1:]:
        later = _LINE_START.match(line) or _VERDICT.fullmatch(line)
        if later is not None and choice not in later.groups():
            return None
    return "a" if choice == "a" else "b"
