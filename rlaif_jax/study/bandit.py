"""The bandit of the paper's Figure 6: imitation against preferences, with no model.

100 actions, the reward of an action is its rank. The student prefers low ranks, the
teacher high ones. SFT imitates the teacher's draws; RLAIF fits a reward to perfect
preferences between pairs of the *student's* draws and tilts the student by it. What
the student never draws, preferences cannot teach (arXiv:2402.12366, section 5).

The losses depend on the draws only through counts, an action-by-action matrix for the
pairs and a histogram for the demonstrations: each optimizer step costs the same for
any number of draws, and all seeds run at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from matplotlib.axes import Axes

from rlaif_jax.errors import UsageError
from rlaif_jax.figures import INK, new_figure, save_figure, style
from rlaif_jax.typing import Json

NUM_ACTIONS = 100
TEACHER_MEAN = 80.0  # also its mode; the means differ a little, 100 actions cut tails
STUDENT_MEAN = 40.0
TWICE_VARIANCE = 300.0  # of both
LEARNING_RATE = 0.01  # of plain gradient descent on the full batch, both fits
REWARD_STEPS = 7_500
SFT_STEPS = 15_000  # leaves a uniform floor: as in the paper, not converged

_LINES = {  # colours and dashes of the paper's figure
    "teacher": ("#091A29", "--"),
    "student": ("#1AC0C6", "--"),
    "rlaif": ("#FFA822", "-"),
    "sft": ("#FF6150", "-"),
}
_REWARD_COLOUR = "#DEE0E6"


class Sizes(NamedTuple):
    """How much each side is given."""

    num_pairs: int  # of student draws, judged
    num_demonstrations: int  # teacher draws, imitated


SIZES = {"notebook": Sizes(250_000, 250_000), "paper": Sizes(500_000, 500_000)}


class Fits(NamedTuple):
    """What one or several seeds learned."""

    reward: Float[Array, "*seeds actions"]
    rlaif: Float[Array, "*seeds actions"]
    sft: Float[Array, "*seeds actions"]


@dataclass(frozen=True, kw_only=True)
class BanditResult:
    """Policies over the actions and the reward that the preferences taught."""

    seeds: tuple[int, ...]
    teacher: Float[np.ndarray, " actions"]
    student: Float[np.ndarray, " actions"]
    learned_reward: Float[np.ndarray, "seeds actions"]
    rlaif: Float[np.ndarray, "seeds actions"]
    sft: Float[np.ndarray, "seeds actions"]

    @property
    def policies(self) -> dict[str, Float[np.ndarray, "seeds actions"]]:
        """Each policy with one row a seed; teacher and student do not vary."""
        rows = (len(self.seeds), 1)
        return {
            "student": np.tile(self.student, rows),
            "teacher": np.tile(self.teacher, rows),
            "rlaif": self.rlaif,
            "sft": self.sft,
        }

    def to_json(self) -> Json:
        """Expected true reward and spread of each policy: means, and every seed's."""
        rewards = {name: expected_reward(p) for name, p in self.policies.items()}
        spreads = {name: policy_sd(p) for name, p in self.policies.items()}
        return {
            "seeds": list(self.seeds),
            "expected_reward": {name: float(r.mean()) for name, r in rewards.items()},
            "expected_reward_per_seed": {n: r.tolist() for n, r in rewards.items()},
            "policy_sd": {name: float(sd.mean()) for name, sd in spreads.items()},
        }


def run_bandit(sizes: str, seeds: Sequence[int], *, beta: float) -> BanditResult:
    """Trains both ways on fresh draws of every seed.

    Args:
      sizes: A name in `SIZES`: the authors' notebook or their text.
      seeds: Of the draws; one independent run each.
      beta: Temperature of the tilt by the learned reward, > 0; the paper's is 0.1.

    Raises:
      UsageError: If `sizes` is unknown or there is no seed.
    """
    if sizes not in SIZES:
        raise UsageError(f"no bandit sizes {sizes!r}: use one of {sorted(SIZES)}")
    if not seeds:
        raise UsageError("the bandit needs at least one seed: give seeds=[0]")
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    fits = _fit_seeds(keys, sizes=SIZES[sizes], beta=beta)
    return BanditResult(
        seeds=tuple(seeds),
        teacher=np.asarray(bell(TEACHER_MEAN)),
        student=np.asarray(bell(STUDENT_MEAN)),
        learned_reward=np.asarray(fits.reward),
        rlaif=np.asarray(fits.rlaif),
        sft=np.asarray(fits.sft),
    )


def draw_bandit(result: BanditResult, path: Path) -> None:
    """Draws Figure 6: policies on the left axis, rewards on the right one.

    Lines are means over the seeds, bands their range. The learned reward is known up
    to a constant, so it is shown above its minimum, and the true one is scaled to it.
    """
    figure = new_figure(7.0, 4.2)
    policy_axes = figure.axes[0]
    policy_axes.grid(visible=False)  # it would hide the pale rewards
    reward_axes = policy_axes.twinx()
    _draw_rewards(reward_axes, result)
    for name, policy in result.policies.items():
        colour, dash = _LINES[name]
        label = f"{name.upper() if name in ('rlaif', 'sft') else name}: expected reward"
        label += f" {expected_reward(policy).mean():.1f}"
        _draw_seeds(policy_axes, policy, color=colour, linestyle=dash, label=label)
    policy_axes.set_xlabel("action, in order of its true reward")
    policy_axes.set_ylabel("probability")
    policy_axes.set_ylim(bottom=0)
    # the policies belong in front of the rewards, whose axes were made later
    policy_axes.set_zorder(reward_axes.get_zorder() + 1)
    policy_axes.patch.set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    save_figure(figure, path)


def _draw_rewards(axes: Axes, result: BanditResult) -> None:
    """The learned reward above its minimum, and the true one over the same range."""
    lowest = result.learned_reward.min(axis=1, keepdims=True)
    learned = result.learned_reward - lowest
    true = np.linspace(0.0, learned.mean(axis=0).max(), NUM_ACTIONS)
    style(axes)
    axes.grid(visible=False)
    axes.spines["right"].set_visible(True)
    axes.set_ylabel("reward", color=INK)
    axes.set_ylim(0, 1.1 * learned.max())
    look = {"color": _REWARD_COLOUR, "linewidth": 2.0}
    _draw_seeds(axes, learned, **look, label="learned reward (right axis)")
    axes.plot(
        _positions(), true, **look, linestyle="--", label="true reward, scaled (right)"
    )


def _draw_seeds(axes: Axes, rows: Float[np.ndarray, "seeds actions"], **look) -> None:
    """The mean of several seeds as a line, and their range as a band."""
    axes.fill_between(
        _positions(),
        rows.min(axis=0),
        rows.max(axis=0),
        color=look["color"],
        alpha=0.25,
        linewidth=0,
    )
    axes.plot(_positions(), rows.mean(axis=0), **look)


def _positions() -> Float[np.ndarray, " actions"]:
    """Where the actions stand on the figure's axis, which ends at 100."""
    return np.linspace(0.0, 100.0, NUM_ACTIONS)


def bell(mean: float) -> Float[Array, " actions"]:
    """Probabilities proportional to a Gaussian over the actions."""
    actions = jnp.arange(NUM_ACTIONS, dtype=jnp.float32)
    return jax.nn.softmax(-jnp.square(actions - mean) / TWICE_VARIANCE)


def expected_reward(
    policy: Float[np.ndarray, "*B actions"],
) -> Float[np.ndarray, "*B"]:
    """Mean rank of the actions that a policy takes."""
    return policy.astype(np.float64) @ np.arange(NUM_ACTIONS)


def policy_sd(policy: Float[np.ndarray, "*B actions"]) -> Float[np.ndarray, "*B"]:
    """Standard deviation of the rank of the actions that a policy takes."""
    centred = np.arange(NUM_ACTIONS) - expected_reward(policy)[..., None]
    return np.sqrt(np.sum(policy.astype(np.float64) * centred**2, axis=-1))


def win_counts(pairs: Int[Array, "N 2"]) -> Float[Array, "actions actions"]:
    """How often the row's action beat the column's; a pair of equals beats nobody.

    The authors give equals a sign too, but their difference of rewards is always
    zero: a constant log 2 in the loss and nothing in its gradient.
    """
    winner, loser = pairs.max(axis=1), pairs.min(axis=1)
    counts = jnp.zeros((NUM_ACTIONS, NUM_ACTIONS)).at[winner, loser].add(1.0)
    return counts * (1.0 - jnp.eye(NUM_ACTIONS))


def reward_loss(
    reward: Float[Array, " actions"],
    wins: Float[Array, "actions actions"],
    num_pairs: int,
) -> Float[Array, ""]:
    """Bradley-Terry loss over all pairs, without the constant of the equal ones."""
    margins = reward[:, None] - reward[None, :]
    return -jnp.sum(wins * jax.nn.log_sigmoid(margins)) / num_pairs


def imitation_loss(
    logits: Float[Array, " actions"], frequencies: Float[Array, " actions"]
) -> Float[Array, ""]:
    """Mean negative log-likelihood of demonstrations with these frequencies."""
    return -jnp.sum(frequencies * jax.nn.log_softmax(logits))


@partial(jax.jit, static_argnames=("sizes", "beta"))
def _fit_seeds(keys: Key[Array, " seeds"], *, sizes: Sizes, beta: float) -> Fits:
    """One independent run a key."""
    return jax.vmap(lambda key: _fit_seed(key, sizes, beta))(keys)


def _fit_seed(key: Key[Array, ""], sizes: Sizes, beta: float) -> Fits:
    """Draws, fits the reward and the imitation, and tilts the student."""
    pair_key, demonstration_key = jax.random.split(key)
    student, teacher = bell(STUDENT_MEAN), bell(TEACHER_MEAN)
    pairs = jax.random.choice(pair_key, NUM_ACTIONS, (sizes.num_pairs, 2), p=student)
    demonstrations = jax.random.choice(
        demonstration_key, NUM_ACTIONS, (sizes.num_demonstrations,), p=teacher
    )
    wins = win_counts(pairs)
    frequencies = jnp.bincount(demonstrations, length=NUM_ACTIONS) / len(demonstrations)
    reward_gradient = jax.grad(lambda r: reward_loss(r, wins, sizes.num_pairs))
    imitation_gradient = jax.grad(lambda z: imitation_loss(z, frequencies))
    reward = _descend(reward_gradient, REWARD_STEPS)
    return Fits(
        reward=reward,
        rlaif=jax.nn.softmax(jnp.log(student) + reward / beta),
        sft=jax.nn.softmax(_descend(imitation_gradient, SFT_STEPS)),
    )


def _descend(gradient_fn, num_steps: int) -> Float[Array, " actions"]:
    """Plain gradient descent from zero."""
    return jax.lax.fori_loop(
        0,
        num_steps,
        lambda _, x: x - LEARNING_RATE * gradient_fn(x),
        jnp.zeros(NUM_ACTIONS),
    )
