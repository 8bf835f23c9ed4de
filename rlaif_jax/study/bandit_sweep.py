"""Where RLAIF overtakes SFT: a grid of bandits that share what they can.

What preferences teach depends on the student alone, and what imitation learns on the
teacher alone: each is fitted once, all at once, and the grid combines them.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rlaif_jax.config_bandit import NUM_ACTIONS, BanditConfig, BanditSweepConfig
from rlaif_jax.study.bandit import (
    Case,
    Sizes,
    bandit_sizes,
    bell,
    expected_reward,
    fit_imitations,
    fit_rewards,
    tilted,
    win_rate,
)
from rlaif_jax.typing import Json, Number

AXES = tuple(BanditSweepConfig.model_fields)  # of the grid, in this order
LOGARITHMIC = frozenset({"beta", "samples"})  # axes whose steps are factors


class Panel(NamedTuple):
    """One map: two things vary (or one, if `y` is None), the others are given."""

    x: str
    y: str | None
    given: Mapping[str, Number]  # what other panels have other values of
    difference: Float[np.ndarray, "y x"]  # RLAIF's expected reward less SFT's


class Interval(NamedTuple):
    """Values of a panel's x between which RLAIF is ahead."""

    low: Number
    high: Number


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What both ways reach at every point; arrays have `AXES` and then the seeds."""

    values: Mapping[str, tuple[Number, ...]]
    rlaif: Float[np.ndarray, "*grid"]  # expected reward
    sft: Float[np.ndarray, "*grid"]
    rlaif_wins: Float[np.ndarray, "*grid"]  # over the teacher, in percent
    sft_wins: Float[np.ndarray, "*grid"]

    def panels(self) -> list[Panel]:
        """The maps: the first two things that vary across one, the others between."""
        varied = [name for name in AXES if len(self.values[name]) > 1]
        x, y, others = varied[0], (varied[1:2] or [None])[0], varied[2:]
        difference = (self.rlaif - self.sft).mean(axis=-1)
        panels = []
        for picked in itertools.product(*(range(len(self.values[o])) for o in others)):
            place = dict(zip(others, picked, strict=True))
            index = tuple(
                slice(None) if name in (x, y) else place.get(name, 0) for name in AXES
            )
            given = {name: self.values[name][i] for name, i in place.items()}
            # AXES put x before y, and a map has y in rows
            panels.append(Panel(x, y, given, np.atleast_2d(difference[index].T)))
        return panels

    def to_json(self) -> Json:
        """Every point, and where the border lies."""
        difference = self.rlaif - self.sft
        points = []
        for index in np.ndindex(difference.shape[:-1]):
            place = {n: self.values[n][i] for n, i in zip(AXES, index, strict=True)}
            figures = {
                "rlaif": self.rlaif[index].mean(),
                "sft": self.sft[index].mean(),
                "difference": difference[index].mean(),
                "difference_sd": difference[index].std(),  # over the seeds
                "rlaif_win_rate_against_teacher": self.rlaif_wins[index].mean(),
                "sft_win_rate_against_teacher": self.sft_wins[index].mean(),
            }
            points.append(place | {name: float(x) for name, x in figures.items()})
        return {
            "points": points,
            "ahead": float((difference.mean(axis=-1) > 0).mean()),
            "border": [self.border(panel) for panel in self.panels()],
        }

    def border(self, panel: Panel) -> Json:
        """Where RLAIF is ahead in a panel, row by row and in a sentence."""
        xs = self.values[panel.x]
        ys: tuple[Number | None, ...] = self.values[panel.y] if panel.y else (None,)
        rows = [
            (y, ahead(xs, row, logarithmic=panel.x in LOGARITHMIC))
            for y, row in zip(ys, panel.difference, strict=True)
        ]
        given = ", ".join(f"{name} {value:g}" for name, value in panel.given.items())
        where = f"With {given}, " if given else ""
        told = "; ".join(_told(panel, rows, (xs[0], xs[-1])))
        return {
            "x": panel.x,
            "y": panel.y,
            "given": dict(panel.given),
            "rows": [{"y": y, "ahead": [list(one) for one in row]} for y, row in rows],
            "sentence": f"{where}RLAIF's expected reward is above SFT's {told}.",
        }


def run_sweep(config: BanditConfig) -> SweepResult:
    """Both ways at every point of the config's grid, for every seed."""
    assert config.sweep is not None
    values = _values(config, config.sweep)
    sizes = [Sizes(n, n) for n in config.sweep.samples] or [bandit_sizes(config)]
    shape = (len(sizes), len(values["student_mean"]), len(values["student_sd"]))
    students = itertools.product(
        sizes, values["student_mean"], values["student_sd"], config.seeds
    )
    rewards = fit_rewards(
        [Case(mean, sd, size.num_pairs, seed) for size, mean, sd, seed in students],
        config,
    ).reshape(*shape, len(config.seeds), NUM_ACTIONS)
    rlaif = np.stack(
        [np.asarray(tilted(_starts(values), rewards, beta)) for beta in values["beta"]],
        axis=3,
    )
    teachers = itertools.product(sizes, values["teacher_mean"], config.seeds)
    sft = np.asarray(
        fit_imitations(
            [
                Case(mean, config.teacher_sd, size.num_demonstrations, seed)
                for size, mean, seed in teachers
            ],
            config,
        )
    ).reshape(len(sizes), -1, len(config.seeds), NUM_ACTIONS)
    return _combined(config, values, rlaif=rlaif, sft=sft)


def ahead(
    xs: tuple[Number, ...], difference: Float[np.ndarray, " x"], *, logarithmic: bool
) -> list[Interval]:
    """Where a difference is above zero, straight lines drawn between its points.

    Args:
      xs: Rising values.
      difference: At each of them.
      logarithmic: Whether the lines are straight over the logarithm of `xs`.
    """
    at = np.log(xs) if logarithmic else np.asarray(xs, float)
    back = np.exp if logarithmic else float
    starts: list[Number] = [xs[0]] if difference[0] > 0 else []
    ends: list[Number] = []
    for i in range(len(xs) - 1):
        before, after = difference[i], difference[i + 1]
        if (before > 0) == (after > 0):
            continue
        crossed = float(back(at[i] + (at[i + 1] - at[i]) * before / (before - after)))
        (starts if after > 0 else ends).append(crossed)
    if difference[-1] > 0:
        ends.append(xs[-1])
    return [Interval(*pair) for pair in zip(starts, ends, strict=True)]


def _values(
    config: BanditConfig, sweep: BanditSweepConfig
) -> dict[str, tuple[Number, ...]]:
    """The grid's values of each axis; one, the run's own, where none are listed."""
    own = {
        "student_mean": config.student_mean,
        "teacher_mean": config.teacher_mean,
        "student_sd": config.student_sd,
        "beta": config.beta,
        "samples": bandit_sizes(config).num_pairs,
    }
    return {name: getattr(sweep, name) or (own[name],) for name in AXES}


def _starts(values: Mapping[str, tuple[Number, ...]]) -> Float[Array, "s w 1 A"]:
    """The students, as the grid has them."""
    return jnp.stack(
        [
            jnp.stack([bell(mean, sd)[None] for sd in values["student_sd"]])
            for mean in values["student_mean"]
        ]
    )


def _combined(
    config: BanditConfig,
    values: Mapping[str, tuple[Number, ...]],
    *,
    rlaif: Float[np.ndarray, "z s w b seeds A"],
    sft: Float[np.ndarray, "z t seeds A"],
) -> SweepResult:
    """Every student beside every teacher: axes s, t, w, b, z and the seeds."""
    teachers = [
        np.asarray(bell(mean, config.teacher_sd)) for mean in values["teacher_mean"]
    ]
    shape = (*(len(values[name]) for name in AXES), len(config.seeds))

    def of_students(figure: Float[np.ndarray, "z s w b seeds"]) -> np.ndarray:
        return np.moveaxis(figure, 0, 3)  # s w b z seeds

    def of_teachers(figure: Float[np.ndarray, "z t seeds"]) -> np.ndarray:
        return np.moveaxis(figure, 0, 1)[None, :, None, None]  # 1 t 1 1 z seeds

    rlaif_wins = [of_students(win_rate(rlaif, teacher)) for teacher in teachers]
    sft_wins = [win_rate(sft[:, i], teacher) for i, teacher in enumerate(teachers)]
    return SweepResult(
        values=values,
        rlaif=np.broadcast_to(of_students(expected_reward(rlaif))[:, None], shape),
        sft=np.broadcast_to(of_teachers(expected_reward(sft)), shape),
        rlaif_wins=np.stack(rlaif_wins, axis=1),
        sft_wins=np.broadcast_to(of_teachers(np.stack(sft_wins, axis=1)), shape),
    )


def _told(
    panel: Panel,
    rows: list[tuple[Number | None, list[Interval]]],
    ends: tuple[Number, Number],
) -> Iterator[str]:
    """Each row in words; rows that say the same, once; a border across all, shortly."""
    if len(rows) > 2 and all(_starts_inside(row, ends) for _, row in rows):
        (y, first), (last_y, last) = rows[0], rows[-1]
        yield (
            f"from {panel.x} {first[0].low:.3g} on where {panel.y} is {y:g}, to"
            f" {last[0].low:.3g} on where it is {last_y:g}"
        )
        return
    by_words: dict[str, list[Number | None]] = {}
    for y, intervals in rows:
        by_words.setdefault(_words(panel.x, intervals, ends), []).append(y)
    for words, ys in by_words.items():
        at = ", ".join(f"{y:g}" for y in ys if y is not None)
        yield f"{words} where {panel.y} is {at}" if panel.y else words


def _starts_inside(row: list[Interval], ends: tuple[Number, Number]) -> bool:
    """Whether RLAIF is ahead from somewhere inside the grid to its end."""
    return len(row) == 1 and row[0].low > ends[0] and row[0].high == ends[1]


def _words(x: str, intervals: list[Interval], ends: tuple[Number, Number]) -> str:
    """Where RLAIF is ahead in one row."""
    if not intervals:
        return f"nowhere ({x} {ends[0]:g} to {ends[1]:g})"
    pieces = []
    for low, high in intervals:
        if (low, high) == ends:
            pieces.append(f"everywhere ({x} {low:g} to {high:g})")
        elif high == ends[1]:
            pieces.append(f"from {x} {low:.3g} on")
        elif low == ends[0]:
            pieces.append(f"up to {x} {high:.3g}")
        else:
            pieces.append(f"from {x} {low:.3g} to {high:.3g}")
    return " and ".join(pieces)
