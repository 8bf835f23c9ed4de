"""Figure 6 of the paper, drawn: policies, and the reward that preferences taught."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from rlaif_jax.config_bandit import NUM_ACTIONS
from rlaif_jax.figures import INK, new_figure, save_figure, style
from rlaif_jax.study.bandit import BanditResult, expected_reward

LINES = {  # colours and dashes of the paper's figure
    "teacher": ("#091A29", "--"),
    "student": ("#1AC0C6", "--"),
    "rlaif": ("#FFA822", "-"),
    "sft": ("#FF6150", "-"),
}
_REWARD_COLOUR = "#DEE0E6"


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
        colour, dash = LINES[name]
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
