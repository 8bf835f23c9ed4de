"""A logistic regression of few coefficients under an L1 penalty, solved exactly.

Shape letters: K coefficients, C strengths.
"""

import numpy as np
from jaxtyping import Float, Int64

_MAX_STEPS = 100
_MAX_SWEEPS = 200
_CONVERGED = 1e-10  # largest change of a coefficient, in nats
_SHORTEST = 1e-8  # share of a step; below, the objective cannot fall any more

Features = Float[np.ndarray, "N K"]
Targets = Float[np.ndarray, " N"]


def fit(
    x: Features,
    y: Targets,
    *,
    strength: float,
    start: Float[np.ndarray, " K"] | None = None,
) -> Float[np.ndarray, " K"]:
    """The coefficients `w` that minimize the penalized log-loss.

        sum |w| + strength * sum over rows of softplus(x w) - y (x w)

    with no intercept, which is what liblinear minimizes for a row of target `y` given
    twice, with labels 1 and 0 and weights `y` and `1 - y`. Newton's method, each
    step's quadratic solved coordinate by coordinate (Yuan et al. 2012, An Improved
    GLMNET for L1-regularized Logistic Regression, JMLR 13), and halved until the
    objective falls.

    Args:
      x: A row an observation. A column of zeros gets the coefficient 0.
      y: From 0 to 1.
      strength: Of the data against the penalty, above 0.
      start: Where to begin; it changes the way there, not the end.
    """
    w = np.zeros(x.shape[1]) if start is None else start
    value = _objective(x, y, w, strength)
    for _ in range(_MAX_STEPS):
        p = sigmoid(x @ w)
        gradient = strength * (x.T @ (p - y))
        hessian = strength * (x * (p * (1.0 - p))[:, None]).T @ x
        step = _newton_point(w, gradient, hessian) - w
        share = 1.0
        while (new := _objective(x, y, w + share * step, strength)) > value:
            share /= 2.0
            if share < _SHORTEST:
                return w
        w, value = w + share * step, new
        if np.abs(share * step).max() < _CONVERGED:
            break
    return w


def cross_validated_strength(
    x: Features, y: Targets, *, strengths: Float[np.ndarray, " C"], num_folds: int
) -> float:
    """The strength with the smallest mean log-loss on rows that were left out.

    The folds are those of scikit-learn's `GroupKFold` where every group is one row of
    `x`: the last row is in the first fold, the one before in the second, and so on.
    """
    folds: Int64[np.ndarray, " N"] = np.arange(len(y))[::-1] % num_folds
    losses = np.zeros((num_folds, len(strengths)))
    for fold in range(num_folds):
        is_out = folds == fold
        w = None
        for place, strength in enumerate(strengths):
            w = fit(x[~is_out], y[~is_out], strength=float(strength), start=w)
            losses[fold, place] = _log_loss(x[is_out], y[is_out], w)
    return float(strengths[int(losses.mean(axis=0).argmin())])


def sigmoid(x: Float[np.ndarray, "*B"]) -> Float[np.ndarray, "*B"]:
    """The logistic function, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _newton_point(
    w: Float[np.ndarray, " K"],
    gradient: Float[np.ndarray, " K"],
    hessian: Float[np.ndarray, "K K"],
) -> Float[np.ndarray, " K"]:
    """Where the quadratic about `w`, plus the penalty, is smallest."""
    point = w.copy()
    for _ in range(_MAX_SWEEPS):
        before = point.copy()
        for k, curvature in enumerate(np.diag(hessian)):
            if curvature <= 0.0:
                continue
            slope = gradient[k] + hessian[k] @ (point - w)
            free = curvature * point[k] - slope
            point[k] = np.sign(free) * max(abs(free) - 1.0, 0.0) / curvature
        if np.abs(point - before).max() < _CONVERGED:
            break
    return point


def _objective(
    x: Features, y: Targets, w: Float[np.ndarray, " K"], strength: float
) -> float:
    """What is minimized."""
    z = x @ w
    return float(np.abs(w).sum() + strength * (np.logaddexp(0.0, z) - y * z).sum())


def _log_loss(x: Features, y: Targets, w: Float[np.ndarray, " K"]) -> float:
    """Mean log-loss of rows, in nats."""
    z = x @ w
    return float((np.logaddexp(0.0, z) - y * z).mean())
