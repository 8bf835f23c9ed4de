"""The two completions inside a judge's prompt, found in its text.

Two layouts are known: the fenced blocks of this project's own judge prompt, and the
headings of AlpacaEval's '(a)/(b)' templates. The convention stands here and not in an
import: a critic behind HTTP sees text, whoever wrote it.
"""

import re
from typing import NamedTuple

from rlaif_jax.lab.critics import Critic

FIRST, SECOND = "Output (a)", "Output (b)"


class Shown(NamedTuple):
    """What a judge's prompt shows."""

    instruction: str
    first: str
    second: str


# [[[name NONCE / text / NONCE]]]: a text cannot close a fence whose nonce it
# does not know
_BLOCKS = re.compile(
    r"\[\[\[instruction (\w+)\n(.*?)\n\1\]\]\]\s*"
    r"\[\[\[Output \(a\) \1\n(.*?)\n\1\]\]\]\s*"
    r"\[\[\[Output \(b\) \1\n(.*?)\n\1\]\]\]",
    re.DOTALL,
)
_HEADINGS = re.compile(
    r"## Instruction:\n(.*?)\n+## Output \(a\):\n(.*?)\n+## Output \(b\):\n(.*?)"
    r"\n+## Which is best",
    re.DOTALL,
)
_TASK_HEADING = "# Task"  # AlpacaEval shows a worked example before it


def read_comparison(text: str) -> Shown | None:
    """What the prompt shows, or None if it is in neither layout."""
    if match := _BLOCKS.search(text):
        return Shown(*match.groups()[1:])
    start = max(text.find(_TASK_HEADING), 0)
    if match := _HEADINGS.search(text, start):
        return Shown(*match.groups())
    return None


def judge(critic: Critic, text: str) -> str | None:
    """The critic's reply to a judge's prompt: the better output's name, alone.

    Returns:
      None if the text is no judge's prompt.
    """
    shown = read_comparison(text)
    if shown is None:
        return None
    return FIRST if critic.prefers_first(*shown) else SECOND


def judge_odds(critic: Critic, text: str) -> float | None:
    """Probability of the first output's name in the reply; None as in `judge`."""
    shown = read_comparison(text)
    return None if shown is None else critic.p_first(*shown)
