"""The implicit rewards of preferences, as training reported them."""

from rlaif_jax.study.results import Curve, StudyResults

REWARDS = {  # by measure, and how they are called
    "rewards/margins": "Margin, nats",
    "rewards/accuracies": "Chosen ahead, share of pairs",
    "rewards/chosen": "Reward of the chosen, nats",
    "rewards/rejected": "Reward of the rejected, nats",
}
_END = 10  # the last of so many parts of a run is its end


def reward_curves(results: StudyResults) -> list[Curve]:
    """The curves of rewards, measure by measure."""
    return [
        curve
        for measure in REWARDS
        for curve in results.curves
        if curve.measure == measure
    ]


def learning_curves(results: StudyResults) -> list[Curve]:
    """All other curves."""
    return [curve for curve in results.curves if curve.measure not in REWARDS]


def final_rewards(results: StudyResults) -> dict[str, dict[str, float]]:
    """Arm to measure to its mean over seeds at the end of training.

    The end is the last tenth of a run; what was not finite there is left out.
    """
    ends: dict[str, dict[str, list[float]]] = {}
    for curve in reward_curves(results):
        last = curve.values[-max(1, len(curve.values) // _END) :]
        known = [value for value in last if value is not None]
        if known:
            of_arm = ends.setdefault(curve.arm, {})
            of_arm.setdefault(curve.measure, []).append(sum(known) / len(known))
    return {
        arm: {name: sum(found) / len(found) for name, found in ends[arm].items()}
        for arm in results.arms
        if arm in ends
    }
