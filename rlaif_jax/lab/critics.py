"""A critic: prefers the truly better of two completions, most of the time."""

from dataclasses import dataclass

from rlaif_jax.lab.draws import uniform
from rlaif_jax.lab.scoring import STYLE_WEIGHT, task_reward
from rlaif_jax.lab.tasks import parse


@dataclass(frozen=True, kw_only=True)
class Critic:
    """Gives the same verdict whenever it is shown the same two texts."""

    name: str
    accuracy: float  # chance to prefer the text of higher reward
    position_bias: float = 0.0  # share of pairs where it takes the first unread
    style_weight: float = STYLE_WEIGHT

    def prefers_first(self, instruction: str, first: str, second: str) -> bool:
        """Whether it prefers the text shown first.

        Its noise is keyed by the two texts without their order, so that showing them
        the other way round turns the verdict round, but for the position bias.
        """
        if first == second:
            return True
        pair = (self.name, instruction, *sorted((first, second)))
        if uniform("position", *pair) < self.position_bias:
            return True
        first_is_better = self._rank(instruction, first) > self._rank(
            instruction, second
        )
        return first_is_better == (uniform("noise", *pair) < self.accuracy)

    def p_first(self, instruction: str, first: str, second: str) -> float:
        """Probability with which it prefers the text shown first.

        It is as sure of every verdict as it is often right, and always more inclined
        to what it says.
        """
        if first == second:
            return 0.5
        is_first = self.prefers_first(instruction, first, second)
        return self.accuracy if is_first else 1.0 - self.accuracy

    def _rank(self, instruction: str, text: str) -> tuple[float, float]:
        """The text's reward; then a number of its own, which settles ties."""
        task = parse(instruction)
        reward = 0.0
        if task is not None:
            reward = task_reward(task, text, style_weight=self.style_weight)
        return reward, uniform("tie", self.name, instruction, text)
