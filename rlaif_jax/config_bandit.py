"""The config of `bandit`: its two policies, what each way of training gets, the grid.

Imports no JAX, as `config` does not.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rlaif_jax.config_base import Config

NUM_ACTIONS = 100  # their rewards are their ranks, 0 to 99
MAX_MAPS = 9  # that one figure of a sweep shows

Mean = Annotated[float, Field(ge=0, le=NUM_ACTIONS - 1)]
Deviation = Annotated[float, Field(ge=0.5, le=NUM_ACTIONS)]
Beta = Annotated[float, Field(gt=0)]
Samples = Annotated[int, Field(ge=1, le=10_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class BanditSweepConfig(Config):
    """A grid: every combination of these; an empty list stands for the run's value."""

    student_mean: tuple[Mean, ...] = ()
    teacher_mean: tuple[Mean, ...] = ()
    student_sd: tuple[Deviation, ...] = ()
    beta: tuple[Beta, ...] = ()
    samples: tuple[Samples, ...] = ()  # pairs, and as many demonstrations

    @model_validator(mode="after")
    def _is_a_grid(self) -> "BanditSweepConfig":
        values = {name: getattr(self, name) for name in type(self).model_fields}
        for name, listed in values.items():
            if list(listed) != sorted(set(listed)):
                raise ValueError(f"{name} must rise, each value once: {list(listed)}")
        if not any(len(listed) > 1 for listed in values.values()):
            raise ValueError(
                "a sweep needs two values or more of something, as in"
                " student_mean=[40,60,80]"
            )
        lengths = [len(listed) for listed in values.values() if len(listed) > 1]
        if (maps := math.prod(lengths[2:])) > MAX_MAPS:
            raise ValueError(
                f"the third and further lists make {maps} maps, more than {MAX_MAPS}:"
                " shorten or drop them"
            )
        return self


class BanditConfig(Config):
    """`bandit`: the paper's Figure 6, and a map of where RLAIF overtakes SFT."""

    sizes: Literal["notebook", "paper"] = "notebook"  # 250,000 draws each, or 500,000
    num_pairs: Samples | None = None  # of student draws, judged; null: by sizes
    num_demonstrations: Samples | None = None  # teacher draws, imitated; likewise
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    student_mean: Mean = 40.0  # rank, which is the percentile, of its likeliest action
    teacher_mean: Mean = 80.0
    student_sd: Deviation = 150**0.5  # ranks, before 100 actions cut the tails
    teacher_sd: Deviation = 150**0.5
    beta: Beta = 0.1  # temperature of the tilt by the learned reward
    learning_rate: float = Field(default=0.01, gt=0, le=10)  # of gradient descent, both
    reward_steps: int = Field(default=7_500, ge=1)
    sft_steps: int = Field(default=15_000, ge=1)  # leaves a floor, as in the paper
    sweep: BanditSweepConfig | None = None

    @model_validator(mode="after")
    def _seeds_differ(self) -> "BanditConfig":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"a seed is there twice: {list(self.seeds)}")
        return self
