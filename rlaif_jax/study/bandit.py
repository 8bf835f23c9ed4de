"""The bandit of the paper's Figure 6: imitation against preferences, with no model.

100 actions, the reward of an action is its rank. The student prefers low ranks, the
teacher high ones. SFT imitates the teacher's draws; RLAIF fits a reward to perfect
preferences between pairs of the *student's* draws and tilts the student by it. What
the student never draws, preferences cannot teach (arXiv:2402.12366, section 5).

The losses depend on the draws only through counts, an action-by-action matrix for the
pairs and a histogram for the demonstrations: each optimizer step costs the same for
any number of draws, and all seeds run at once. The letter A is actions, C is cases:
seeds, or seeds of several settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from rlaif_jax.config_bandit import NUM_ACTIONS, BanditConfig
from rlaif_jax.typing import Json


class Sizes(NamedTuple):
    """How much each side is given."""

    num_pairs: int  # of student draws, judged
    num_demonstrations: int  # teacher draws, imitated


SIZES = {"notebook": Sizes(250_000, 250_000), "paper": Sizes(500_000, 500_000)}


class Case(NamedTuple):
    """One policy's draws, and what they are of."""

    mean: float
    sd: float
    num_draws: int  # pairs of a student, demonstrations of a teacher
    seed: int


@dataclass(frozen=True, kw_only=True)
class BanditResult:
    """Policies over the actions and the reward that the preferences taught."""

    seeds: tuple[int, ...]
    teacher: Float[np.ndarray, " A"]
    student: Float[np.ndarray, " A"]
    learned_reward: Float[np.ndarray, "C A"]
    rlaif: Float[np.ndarray, "C A"]
    sft: Float[np.ndarray, "C A"]

    @property
    def policies(self) -> dict[str, Float[np.ndarray, "C A"]]:
        """Each policy with one row a seed; teacher and student do not vary."""
        rows = (len(self.seeds), 1)
        return {
            "student": np.tile(self.student, rows),
            "teacher": np.tile(self.teacher, rows),
            "rlaif": self.rlaif,
            "sft": self.sft,
        }

    def to_json(self) -> Json:
        """Expected true reward, spread and wins of each policy, and every seed's.

        A policy of a lower mean may win more often: which is better depends on which
        of the two is asked (arXiv:2402.12366, footnote 4).
        """
        rewards = {name: expected_reward(p) for name, p in self.policies.items()}
        spreads = {name: policy_sd(p) for name, p in self.policies.items()}
        wins = {name: win_rate(p, self.teacher) for name, p in self.policies.items()}
        return {
            "seeds": list(self.seeds),
            "expected_reward": {name: float(r.mean()) for name, r in rewards.items()},
            "expected_reward_per_seed": {n: r.tolist() for n, r in rewards.items()},
            "policy_sd": {name: float(sd.mean()) for name, sd in spreads.items()},
            "win_rate_against_teacher": {n: float(w.mean()) for n, w in wins.items()},
        }


def bandit_sizes(config: BanditConfig) -> Sizes:
    """The sizes that a config names, or the numbers that it gives instead."""
    pairs, demonstrations = SIZES[config.sizes]
    return Sizes(config.num_pairs or pairs, config.num_demonstrations or demonstrations)


def run_bandit(config: BanditConfig) -> BanditResult:
    """Trains both ways on fresh draws of every seed; the sweep is not looked at."""
    sizes = bandit_sizes(config)
    student = (config.student_mean, config.student_sd, sizes.num_pairs)
    teacher = (config.teacher_mean, config.teacher_sd, sizes.num_demonstrations)
    reward = fit_rewards([Case(*student, seed) for seed in config.seeds], config)
    start = bell(config.student_mean, config.student_sd)
    return BanditResult(
        seeds=config.seeds,
        teacher=np.asarray(bell(config.teacher_mean, config.teacher_sd)),
        student=np.asarray(start),
        learned_reward=np.asarray(reward),
        rlaif=np.asarray(tilted(start, reward, config.beta)),
        sft=np.asarray(
            fit_imitations([Case(*teacher, seed) for seed in config.seeds], config)
        ),
    )


def fit_rewards(cases: Sequence[Case], config: BanditConfig) -> Float[Array, "C A"]:
    """The reward that each student's judged pairs teach, all at once.

    Args:
      cases: Students; those of equal `num_draws` must follow each other.
      config: Learning rate and steps.
    """
    shares = _by_size(cases, _draw_wins)
    return _fit_rewards(
        shares, rate=config.learning_rate, num_steps=config.reward_steps
    )


def fit_imitations(cases: Sequence[Case], config: BanditConfig) -> Float[Array, "C A"]:
    """The policy that imitates each teacher's demonstrations, all at once.

    Args:
      cases: Teachers; those of equal `num_draws` must follow each other.
      config: Learning rate and steps.
    """
    frequencies = _by_size(cases, _draw_frequencies)
    return _fit_imitations(
        frequencies, rate=config.learning_rate, num_steps=config.sft_steps
    )


def tilted(
    policy: Float[Array, "*B A"], reward: Float[Array, "*C A"], beta: float
) -> Float[Array, "*C A"]:
    """The policy of the best reward less beta nats of divergence, in closed form."""
    return jax.nn.softmax(jnp.log(policy) + reward / beta)


def bell(
    mean: float | Float[Array, ""], sd: float | Float[Array, ""]
) -> Float[Array, " A"]:
    """Probabilities proportional to a Gaussian over the actions."""
    actions = jnp.arange(NUM_ACTIONS, dtype=jnp.float32)
    return jax.nn.softmax(-jnp.square(actions - mean) / (2.0 * sd**2))


def expected_reward(policy: Float[np.ndarray, "*B A"]) -> Float[np.ndarray, "*B"]:
    """Mean rank of the actions that a policy takes."""
    return policy.astype(np.float64) @ np.arange(NUM_ACTIONS)


def policy_sd(policy: Float[np.ndarray, "*B A"]) -> Float[np.ndarray, "*B"]:
    """Standard deviation of the rank of the actions that a policy takes."""
    centred = np.arange(NUM_ACTIONS) - expected_reward(policy)[..., None]
    return np.sqrt(np.sum(policy.astype(np.float64) * centred**2, axis=-1))


def win_rate(
    policy: Float[np.ndarray, "*B A"], other: Float[np.ndarray, " A"]
) -> Float[np.ndarray, "*B"]:
    """How often the policy's action beats the other's, in percent; equals win half."""
    below = np.cumsum(other.astype(np.float64)) - 0.5 * other
    return 100.0 * policy.astype(np.float64) @ below


def win_shares(pairs: Int[Array, "N 2"]) -> Float[Array, "A A"]:
    """How often the row's action beat the column's, as a share of all pairs.

    A pair of equals beats nobody. The authors give it a sign too, but its difference
    of rewards is always zero: a constant log 2 in the loss, nothing in its gradient.
    """
    winner, loser = pairs.max(axis=1), pairs.min(axis=1)
    counts = jnp.zeros((NUM_ACTIONS, NUM_ACTIONS)).at[winner, loser].add(1.0)
    return counts * (1.0 - jnp.eye(NUM_ACTIONS)) / len(pairs)


def reward_loss(
    reward: Float[Array, " A"], shares: Float[Array, "A A"]
) -> Float[Array, ""]:
    """Bradley-Terry loss over all pairs, without the constant of the equal ones."""
    margins = reward[:, None] - reward[None, :]
    return -jnp.sum(shares * jax.nn.log_sigmoid(margins))


def imitation_loss(
    logits: Float[Array, " A"], frequencies: Float[Array, " A"]
) -> Float[Array, ""]:
    """Mean negative log-likelihood of demonstrations with these frequencies."""
    return -jnp.sum(frequencies * jax.nn.log_softmax(logits))


def _by_size(
    cases: Sequence[Case], draw_fn: Callable[..., Float[Array, "C ..."]]
) -> Float[Array, "C ..."]:
    """What is drawn for each case: one program for each number of draws."""
    parts = []
    for num_draws in dict.fromkeys(case.num_draws for case in cases):
        alike = [case for case in cases if case.num_draws == num_draws]
        keys = jnp.stack([jax.random.key(case.seed) for case in alike])
        means = jnp.array([case.mean for case in alike])
        sds = jnp.array([case.sd for case in alike])
        parts.append(draw_fn(keys, means, sds, num_draws=num_draws))
    return jnp.concatenate(parts)


@partial(jax.jit, static_argnames="num_draws")
def _draw_wins(
    keys: Key[Array, " C"],
    means: Float[Array, " C"],
    sds: Float[Array, " C"],
    *,
    num_draws: int,
) -> Float[Array, "C A A"]:
    """Judged pairs of each student, one student after the other: they take room."""

    def draw(case):
        key, _ = jax.random.split(case[0])
        student = bell(case[1], case[2])
        pairs = jax.random.choice(key, NUM_ACTIONS, (num_draws, 2), p=student)
        return win_shares(pairs)

    return jax.lax.map(draw, (keys, means, sds))


@partial(jax.jit, static_argnames="num_draws")
def _draw_frequencies(
    keys: Key[Array, " C"],
    means: Float[Array, " C"],
    sds: Float[Array, " C"],
    *,
    num_draws: int,
) -> Float[Array, "C A"]:
    """How often each teacher takes each action."""

    def draw(case):
        _, key = jax.random.split(case[0])
        teacher = bell(case[1], case[2])
        drawn = jax.random.choice(key, NUM_ACTIONS, (num_draws,), p=teacher)
        return jnp.bincount(drawn, length=NUM_ACTIONS) / num_draws

    return jax.lax.map(draw, (keys, means, sds))


@partial(jax.jit, static_argnames="num_steps")
def _fit_rewards(
    shares: Float[Array, "C A A"], *, rate: float | Float[Array, ""], num_steps: int
) -> Float[Array, "C A"]:
    """Descends on every case's preferences."""

    def fit(case):
        return _descend(lambda r: jax.grad(reward_loss)(r, case), rate, num_steps)

    return jax.vmap(fit)(shares)


@partial(jax.jit, static_argnames="num_steps")
def _fit_imitations(
    frequencies: Float[Array, "C A"], *, rate: float | Float[Array, ""], num_steps: int
) -> Float[Array, "C A"]:
    """Descends on every case's demonstrations."""

    def fit(case):
        return _descend(lambda z: jax.grad(imitation_loss)(z, case), rate, num_steps)

    return jax.nn.softmax(jax.vmap(fit)(frequencies))


def _descend(
    gradient_fn: Callable[[Float[Array, " A"]], Float[Array, " A"]],
    rate: float | Float[Array, ""],
    num_steps: int,
) -> Float[Array, " A"]:
    """Plain gradient descent from zero."""
    return jax.lax.fori_loop(
        0, num_steps, lambda _, x: x - rate * gradient_fn(x), jnp.zeros(NUM_ACTIONS)
    )
