"""How the lab's critics grade MT-bench: by the reward, in the fences of our forms."""

import re

from rlaif_jax.lab.critics import Critic
from rlaif_jax.lab.draws import uniform
from rlaif_jax.lab.scoring import task_reward
from rlaif_jax.lab.tasks import parse

_BLOCKS = re.compile(
    r"\[\[\[((?:question|reference|answer)[ab12 ]*) (\w+)\n(.*?)\n\2\]\]\]", re.DOTALL
)
_LOWEST, _HIGHEST = 1, 10


def grade(critic: Critic, text: str) -> str | None:
    """The critic's reply to a form: of the last turn, a rating or a verdict.

    Returns:
      None if the text is no such form.
    """
    shown = {name: body for name, _, body in _BLOCKS.findall(text)}
    turn = 2 if "question 2" in shown else 1
    question = shown.get(f"question {turn}")
    if question is None:
        return None
    if (answer := shown.get(f"answer {turn}")) is not None:
        return f"Measured against the task.\n[[{_rating(critic, question, answer)}]]"
    a, b = (shown.get(f"answer {side} {turn}") for side in "ab")
    if a is None or b is None:
        return None
    better = "A" if critic.prefers_first(question, a, b) else "B"
    return f"Measured against the task.\n[[{'C' if a == b else better}]]"


def _rating(critic: Critic, question: str, answer: str) -> int:
    """The reward on a scale of 1 to 10; as often off by two as the critic errs."""
    task = parse(question)
    reward = 0.0
    if task is not None:
        reward = task_reward(task, answer, style_weight=critic.style_weight)
    share = min(reward / (1.0 + critic.style_weight), 1.0)
    rating = _LOWEST + round((_HIGHEST - _LOWEST) * share)
    if uniform("grade", critic.name, question, answer) < critic.accuracy:
        return rating
    is_low = uniform("grade side", critic.name, question, answer) < 0.5
    return min(max(rating + (-2 if is_low else 2), _LOWEST), _HIGHEST)
