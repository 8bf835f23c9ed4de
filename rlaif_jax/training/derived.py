"""Metrics that are no means: made on the host of means over the whole batch.

An exponential or a correlation of the parts of a batch must not be averaged, so parts
tell means, and this is what becomes of them in `metrics.jsonl`.
"""

import math

# Means over pairs of the margin m, of the length difference d in tokens, and of their
# products m m, d d, m d.
MOMENTS = tuple(f"moments/{name}" for name in ("m", "d", "mm", "dd", "md"))

_MAX_EXPONENT = 700.0  # of a float64


def with_derived(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics of a step as they are logged.

    `ppl/...` is the exponential of `nll/...`, the paper's perplexity (arXiv:2402.12366,
    code); `rewards/length_correlation` takes the place of the moments.

    Args:
      metrics: Means over all items of a batch.
    """
    told = {name: value for name, value in metrics.items() if name not in MOMENTS}
    for name, value in metrics.items():
        if name.startswith("nll/"):
            told[name.replace("nll/", "ppl/")] = math.exp(min(value, _MAX_EXPONENT))
    if all(name in metrics for name in MOMENTS):
        moments = (metrics[name] for name in MOMENTS)
        told["rewards/length_correlation"] = _correlation(*moments)
    return told


def _correlation(m: float, d: float, mm: float, dd: float, md: float) -> float:
    """Pearson's, from means; 0 where one of the two does not vary."""
    spread_m, spread_d = mm - m * m, dd - d * d
    # what rounding leaves of squares in float32 is no spread
    if spread_m <= 1e-5 * mm or spread_d <= 1e-5 * dd:
        return 0.0
    return max(-1.0, min(1.0, (md - m * d) / math.sqrt(spread_m * spread_d)))
