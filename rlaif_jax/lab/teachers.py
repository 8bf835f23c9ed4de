"""A teacher: writes completions with a given skill and style."""

from dataclasses import dataclass

from rlaif_jax.lab.draws import uniform
from rlaif_jax.lab.scoring import sentence
from rlaif_jax.lab.tasks import Task, answer, mistakes, parse

LIKELY_MISTAKE = 0.7  # share of the first of a family's two mistakes
DO_NOT_KNOW = "I do not know."


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Writes the same completion whenever it is asked the same with the same seed."""

    name: str
    skill: float  # share of right answers
    style: float  # share of full sentences

    def complete(self, instruction: str, *, seed: int = 0) -> str:
        """The completion of an instruction; one that is no task is not known."""
        task = parse(instruction)
        if task is None:
            return DO_NOT_KNOW
        return self.solve(task, instruction, seed=seed)

    def solve(self, task: Task, instruction: str, *, seed: int) -> str:
        """The completion of a task whose instruction was already parsed."""
        key = (self.name, seed, instruction)
        if uniform("skill", *key) < self.skill:
            bare = answer(task)
        else:
            bare = mistakes(task)[uniform("mistake", *key) >= LIKELY_MISTAKE]
        return sentence(bare) if uniform("style", *key) < self.style else bare
