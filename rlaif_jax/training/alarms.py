"""Warnings of what goes wrong in silence, from the metrics of a run and nothing else.

A function of the history: a run that was killed and resumed rings as an unbroken one.
Each alarm rings once, over a window of steps; `docs/training.md` says why the limits
are where they are.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

WINDOW_STEPS = 20
_FALL = 0.5  # nats a token: a token of the chosen texts has lost 40 % of its chances
_CORRELATION = 0.7  # half of what margins vary goes with length
_TIED = 1e-5  # nats: less than any update moves a margin, more than float32 rounds
_CERTAIN = 0.995  # share of pairs
_NO_LOSS = 0.01  # of the first loss
_NO_ENDS = 0.05  # share of completions

Metrics = Mapping[str, float | None]


class Alarm(NamedTuple):
    """Something that people should look at.

    Attributes:
      name: Of its kind.
      step: After which it rang.
      message: The figures, what they usually mean, and what to do.
    """

    name: str
    step: int
    message: str


class Watch:
    """Looks at each step's metrics, in their order."""

    def __init__(self) -> None:
        self._recent: deque[Metrics] = deque(maxlen=WINDOW_STEPS)
        self._first: list[Metrics] = []
        self._rung: set[str] = set()

    def update(self, step: int, metrics: Metrics) -> list[Alarm]:
        """What rings after a step, and has not rung before.

        Args:
          step: Its number.
          metrics: As logged; None or NaN where a step was skipped.
        """
        self._recent.append(metrics)
        if len(self._first) < WINDOW_STEPS:
            self._first.append(metrics)
        if len(self._recent) < WINDOW_STEPS:
            return []
        seen = _Seen(self._recent, self._first)
        alarms = []
        for name, rule in RULES.items():
            message = None if name in self._rung else rule(seen)
            if message is not None:
                self._rung.add(name)
                alarms.append(Alarm(name, step, message))
        return alarms


class _Seen(NamedTuple):
    """The newest steps of a run, and its first ones."""

    recent: Sequence[Metrics]
    first: Sequence[Metrics]

    def values(self, name: str) -> list[float]:
        """Of the newest steps; none if a step lacks the metric."""
        return _known(self.recent, name)

    def mean(self, name: str) -> float | None:
        """Over the newest steps; None if one of them lacks the metric."""
        return _mean(self.values(name))

    def first_mean(self, name: str) -> float | None:
        """Over the first steps."""
        return _mean(_known(self.first, name))


def _falling(seen: _Seen) -> str | None:
    """The chosen completions become less likely while margins grow."""
    fall = seen.mean("log_ratio/chosen")
    if fall is None:
        fall = _fall_without_reference(seen)
    margin, before = (
        seen.mean("rewards/margins"),
        seen.first_mean("rewards/margins"),
    )
    if fall is None or margin is None or before is None:
        return None
    if fall > -_FALL or not margin > max(before, 0.0):
        return None
    return (
        f"chosen completions have lost {-fall:.2f} nats a token against the start while"
        f" margins grew to {margin:.3f}: probability goes to texts that are in neither"
        " side (arXiv:2402.13228, arXiv:2410.08847); lower optimizer.learning_rate,"
        " raise loss.beta, or add loss.sft"
    )


def _fall_without_reference(seen: _Seen) -> float | None:
    """How the log-probability a token has changed since the first steps."""
    now, then, length, first_length = (
        seen.mean("logps/chosen"),
        seen.first_mean("logps/chosen"),
        seen.mean("lengths/chosen"),
        seen.first_mean("lengths/chosen"),
    )
    if now is None or then is None or not length or not first_length:
        return None
    return now / length - then / first_length


def _lengths(seen: _Seen) -> str | None:
    """Rewards follow the length of completions."""
    correlation = seen.mean("rewards/length_correlation")
    if correlation is None or correlation < _CORRELATION:
        return None
    chosen, rejected = seen.mean("lengths/chosen"), seen.mean("lengths/rejected")
    told = f"; chosen have {chosen:.0f} tokens, rejected {rejected:.0f}" * bool(chosen)
    return (
        f"margins go with length (correlation {correlation:.2f} with chosen less"
        f" rejected tokens{told}): expect longer answers, not only better ones"
        " (arXiv:2403.19159); compare at equal length, or take loss.name=sigmoid_norm"
    )


def _ties(seen: _Seen) -> str | None:
    """No pair is told apart."""
    margins, same = seen.values("rewards/margins"), seen.mean("pairs/identical")
    if same == 1.0:
        return (
            f"all pairs of the last {WINDOW_STEPS} steps have the same tokens on both"
            " sides, so nothing is learned: are they cut before they differ? look at"
            " truncated/completions and raise tokens.max_completion_tokens"
        )
    if not margins or max(map(abs, margins)) > _TIED:
        return None
    norm = seen.mean("grad_norm")
    told = "" if norm is None else f", gradient norm {norm:.2e}"
    return (
        f"no margin was over {_TIED:g} nats in {WINDOW_STEPS} steps{told}: the policy"
        " does not move; is optimizer.learning_rate too low, or are both sides of the"
        " pairs the same?"
    )


def _saturated(seen: _Seen) -> str | None:
    """Nothing is left to learn."""
    accuracy = seen.mean("rewards/accuracies")
    name = next((n for n in _PREFERENCE_LOSSES if seen.values(n)), "loss")
    loss, first = seen.mean(name), next(iter(_known(seen.first, name)), None)
    if accuracy is None or loss is None or not first:
        return None
    if accuracy < _CERTAIN or loss > _NO_LOSS * first:
        return None
    return (
        f"the loss is {loss:.2g}, of {first:.2g} at first, and {accuracy:.1%} of pairs"
        " are right: what tells the sides apart may be no quality (a leak, a template,"
        " a length), or optimizer.learning_rate is too high; look at pairs by hand"
    )


def _no_ends(seen: _Seen) -> str | None:
    """The model is never shown how to stop."""
    ended = seen.mean("ends_with_eos/chosen")
    if ended is None or ended > _NO_ENDS:
        return None
    return (
        f"{ended:.1%} of the completions to imitate have an end token, so the model"
        " will not learn to stop: raise tokens.max_completion_tokens if"
        " truncated/completions is high, else look at finish_reason in the records"
    )


_PREFERENCE_LOSSES = ("loss/preference", "loss/task")

RULES: dict[str, Callable[[_Seen], str | None]] = {
    "chosen_falling": _falling,
    "length_drift": _lengths,
    "all_ties": _ties,
    "saturated": _saturated,
    "no_ends": _no_ends,
}


def _known(lines: Sequence[Metrics], name: str) -> list[float]:
    """A metric of all lines; nothing if one of them lacks it."""
    values = [line.get(name) for line in lines]
    known = [value for value in values if value is not None and math.isfinite(value)]
    return known if len(known) == len(values) else []


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
