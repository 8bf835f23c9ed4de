"""What a critic's labels say about the critic."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.agreement import Agreement, agreement
from rlaif_jax.labeling.canaries import canary_measures, planted_measures
from rlaif_jax.labeling.critic import verdict_of
from rlaif_jax.labeling.generators import (
    GeneratorFigures,
    generator_figures,
    self_preference,
)
from rlaif_jax.labeling.intervals import Measure, mean, quantile, share
from rlaif_jax.labeling.judged import Judged, judged_key
from rlaif_jax.labeling.length_bias import length_slope, longer_wins
from rlaif_jax.labeling.meanings import MEANINGS, STATES, Unit
from rlaif_jax.labeling.order_bias import first_shown_blocks, order_measures
from rlaif_jax.labeling.panel import panel_measures
from rlaif_jax.labeling.planting import Canary
from rlaif_jax.records import Record, Verdict

_PERCENTILES = (50, 95, 99)


class Counted(Record):
    """How many comparisons ended in one way."""

    n: int
    share: Measure | None


class Audit(Record):
    """A critic's labels in figures; shares are from 0 to 1."""

    critics: tuple[str, ...]
    comparisons: int  # of the run; those without a label yet are in no figure
    labels: int
    states: dict[str, Counted]  # they sum to labels
    verdicts: dict[str, Counted]  # so do they
    measures: dict[str, Measure]  # by a name of MEANINGS
    absent: dict[str, str]  # the other names, and why
    generators: tuple[GeneratorFigures, ...]
    first_shown: tuple[Measure | None, ...]  # in tenths of the run
    agreement: Agreement | None  # with the other judge
    n_unmatched: int  # comparisons that the other judge does not have
    notes: tuple[str, ...]  # how to read them


class Line(NamedTuple):
    """One figure of an audit, ready to be shown."""

    title: str
    unit: Unit
    text: str
    measure: Measure


def audit(
    judged: Sequence[Judged],
    *,
    comparisons: int,
    other: Mapping[str, float | None] | None = None,
    own: Collection[str] = (),
    canaries: Sequence[Canary] = (),
    notes: Sequence[str] = (),
) -> Audit:
    """Every figure of some labels.

    Args:
      judged: The labels, in the order of their run.
      comparisons: Of the run, labeled or not.
      other: What another judge made of comparisons, as `judged.preferences` has it.
      own: Generators of the critic's own family; those named like the critic, if
        empty.
      canaries: Planted comparisons that the critic was asked about besides.
      notes: How to read the figures.

    Raises:
      UsageError: If there are no labels, `own` names nobody, or the other judge has
        judged nothing of this.
    """
    if not judged:
        raise UsageError("there are no labels to audit yet: wait for a sealed shard")
    own = _own_family(judged, own)
    prompts = _prompt_numbers(judged)
    theirs, n_unmatched = _matched(judged, other)
    agreed = None if other is None else _agreement(judged, theirs, prompts)
    found = {
        **order_measures(judged, prompts),
        **_length_measures(judged, prompts),
        "self_preference": self_preference(judged, prompts, other=theirs, own=own),
        **canary_measures(judged, prompts),
        **panel_measures([one.label for one in judged], prompts),
        **planted_measures(canaries),
        **_effort_measures(judged, prompts),
        **_fault_measures(judged, prompts),
        "agreement": agreed and agreed.share,
        "kappa": agreed and agreed.kappa,
    }
    return Audit(
        critics=tuple(sorted({one.label.critic for one in judged})),
        comparisons=comparisons,
        labels=len(judged),
        states=_counted((one.label.state for one in judged), STATES, prompts),
        verdicts=_counted(
            (one.label.verdict.value for one in judged),
            [verdict.value for verdict in Verdict],
            prompts,
        ),
        measures={
            name: measure for name in MEANINGS if (measure := found[name]) is not None
        },
        absent={
            name: meaning.absent
            for name, meaning in MEANINGS.items()
            if found[name] is None
        },
        generators=generator_figures(judged, prompts, other=theirs, own=own),
        first_shown=first_shown_blocks(judged, prompts),
        agreement=agreed,
        n_unmatched=n_unmatched,
        notes=tuple(notes),
    )


def lines(found: Audit) -> list[Line]:
    """States and figures in the order in which they are shown."""
    states = [
        Line(STATES.get(name, name), "share", "Of all labels.", counted.share)
        for name, counted in found.states.items()
        if counted.share is not None
    ]
    return states + [
        Line(meaning.title, meaning.unit, meaning.text, found.measures[name])
        for name, meaning in MEANINGS.items()
        if name in found.measures
    ]


def _own_family(judged: Sequence[Judged], own: Collection[str]) -> frozenset[str]:
    """The generators of the critic's own family; those of its name if none is given.

    Raises:
      UsageError: If a name is no generator's.
    """
    writers = {
        completion.generator
        for one in judged
        for completion in (one.comparison.first, one.comparison.second)
    }
    if unknown := set(own) - writers:
        raise UsageError(
            f"own: {min(unknown)!r} is no generator; there are"
            f" {', '.join(sorted(writers))}"
        )
    critics = {
        name.casefold()
        for one in judged
        for name in (one.label.critic, one.label.critic_returned_model)
    }
    return frozenset(own) or frozenset(w for w in writers if w.casefold() in critics)


def _prompt_numbers(judged: Sequence[Judged]) -> Int[np.ndarray, " N"]:
    """A number for each comparison's prompt."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(one.comparison.prompt_id, len(numbers)) for one in judged],
        np.int64,
    )


def _matched(
    judged: Sequence[Judged], other: Mapping[str, float | None] | None
) -> tuple[Float[np.ndarray, " N"], int]:
    """The other judge's probability that the first is better, and how many it lacks."""
    if other is None:
        return np.full(len(judged), np.nan), 0
    keys = [judged_key(one) for one in judged]
    missing = sum(key not in other for key in keys)
    if missing == len(keys):
        raise UsageError(
            f"against holds none of these {missing} comparisons: it must be of the same"
            " prompts and completions"
        )
    return np.array([other.get(key) for key in keys], np.float64), missing  # None: NaN


def _agreement(
    judged: Sequence[Judged],
    theirs: Float[np.ndarray, " N"],
    prompts: Int[np.ndarray, " N"],
) -> Agreement:
    """The critic's verdicts beside the other's."""
    other = [None if np.isnan(p) else verdict_of(float(p)) for p in theirs]
    return agreement([one.label.verdict for one in judged], other, prompts)


def _length_measures(
    judged: Sequence[Judged], prompts: Int[np.ndarray, " N"]
) -> dict[str, Measure | None]:
    """Whether longer texts win, and what length adds between equal writers."""
    p_first = np.array([one.label.p_first for one in judged], np.float64)
    difference = np.array(
        [
            len(one.comparison.first.text) - len(one.comparison.second.text)
            for one in judged
        ],
        np.float64,
    )
    # a pair of writers has one intercept, whoever of them stands first
    pairs = [
        (one.comparison.first.generator, one.comparison.second.generator)
        for one in judged
    ]
    ordered = np.array([a <= b for a, b in pairs])
    groups: dict[tuple[str, ...], int] = {}
    numbers = [groups.setdefault(tuple(sorted(pair)), len(groups)) for pair in pairs]
    return {
        "p_longer": longer_wins(p_first, difference, prompts),
        "length_slope": length_slope(
            np.where(ordered, p_first, 1.0 - p_first),
            np.where(ordered, difference, -difference),
            prompts=prompts,
            groups=np.array(numbers, np.int64),
        ),
    }


def _effort_measures(
    judged: Sequence[Judged], prompts: Int[np.ndarray, " N"]
) -> dict[str, Measure | None]:
    """What was cut off, what a label cost, and how long calls took."""
    calls = [
        (call, prompt)
        for one, prompt in zip(judged, prompts, strict=True)
        for call in one.calls
    ]
    of_call = np.array([prompt for _, prompt in calls], np.int64)
    cut = np.array([call.is_cut for call, _ in calls], np.float64)
    seconds = np.array([call.latency_s for call, _ in calls], np.float64)
    known = [one.num_cut / 2 if one.is_cut_known else None for one in judged]
    has_calls = any(one.label.calls for one in judged)
    costs = np.array([one.label.cost_usd for one in judged], np.float64)
    if not has_calls:  # of a file, where a price of 0 is none
        costs[costs == 0.0] = np.nan
    sent = np.array([one.label.calls for one in judged], np.float64)
    return {
        "reply_cut": share(cut, of_call),
        "completion_cut": share(np.array(known, np.float64), prompts),
        "cost_usd": mean(costs, prompts),
        "calls": mean(sent, prompts) if has_calls else None,
        **{
            f"latency_s_p{percent}": quantile(seconds, of_call, q=percent / 100)
            for percent in _PERCENTILES
        },
    }


def _fault_measures(
    judged: Sequence[Judged], prompts: Int[np.ndarray, " N"]
) -> dict[str, Measure | None]:
    """How many of the calls failed: one draw a call."""
    known = [
        (one.attempts, prompt)
        for one, prompt in zip(judged, prompts, strict=True)
        if one.attempts is not None
    ]
    of_call = np.repeat(
        np.array([prompt for _, prompt in known], np.int64),
        [attempts.sent for attempts, _ in known],
    )
    limited: list[bool] = []
    faulty: list[bool] = []
    for attempts, _ in known:
        refused = attempts.faults.get("rate_limit", 0)
        failed = sum(attempts.faults.values()) - refused
        limited += [number < refused for number in range(attempts.sent)]
        faulty += [number < failed for number in range(attempts.sent)]
    return {
        "rate_limited": share(np.array(limited, np.float64), of_call),
        "faulty": share(np.array(faulty, np.float64), of_call),
    }


def _counted(
    ends: Iterable[str], names: Iterable[str], prompts: Int[np.ndarray, " N"]
) -> dict[str, Counted]:
    """How many labels ended in each way: the known ones, then any other."""
    found = list(ends)
    counts = Counter(found)
    return {
        name: Counted(
            n=counts[name],
            share=share(np.array([end == name for end in found], np.float64), prompts),
        )
        for name in [*names, *sorted(counts.keys() - set(names))]
    }
