"""Comparisons together with all that is known of how they were judged."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rlaif_jax.annotations import Judgment, read_judgments
from rlaif_jax.config_endpoints import Orders
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.labeling.calls import LedgerCall
from rlaif_jax.labeling.critic import verdict_of
from rlaif_jax.labeling.order import is_switched, shown_orders
from rlaif_jax.labeling.prompts import instruction_text
from rlaif_jax.records import (
    Comparison,
    Completion,
    Label,
    Message,
    Prompt,
    Verdict,
    content_hash,
)

_CUT = "length"  # the finish reason of a text that ran into its limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One order in which a critic was shown a comparison.

    Attributes:
      swapped: Whether the second completion was shown first; None if not known.
      verdict: About the comparison as it is stored.
      reply: What the critic wrote; empty if that is not kept.
      is_cut: Whether the reply ran into its limit; None if not known.
      latency_s: Seconds that it took; None if not known.
    """

    swapped: bool | None
    verdict: Verdict
    reply: str = ""
    is_cut: bool | None = None
    latency_s: float | None = None


class Attempts(NamedTuple):
    """What was sent to get the answers about one comparison.

    Attributes:
      sent: Calls.
      faults: Those of them that failed, by `chat.Fault`.
    """

    sent: int
    faults: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A comparison, its label, and the calls behind it.

    Attributes:
      comparison: What was judged.
      label: What came of it.
      calls: One an order that was asked; none if nobody was.
      place: Where in the run it stands, from 0 to 1.
      is_cut_known: Whether finish reasons of the completions are recorded.
      attempts: Of all critics and votes; None if that is not recorded.
    """

    comparison: Comparison
    label: Label
    calls: tuple[Call, ...]
    place: float
    is_cut_known: bool
    attempts: Attempts | None = None

    @property
    def instruction(self) -> str:
        """The prompt as one text."""
        return instruction_text(self.comparison.messages)

    @property
    def num_cut(self) -> int:
        """Completions that ran into their limit."""
        both = (self.comparison.first, self.comparison.second)
        return sum(one.finish_reason == _CUT for one in both)


def judged_files(paths: Sequence[Path]) -> list[Judged]:
    """The rows of AlpacaEval annotation files, `output_1` first.

    Such files hold a verdict a row and, some, its price. Which output the annotator
    saw first follows from the instruction (`order.is_switched`), as long as the file
    was made by AlpacaEval with its seed 0. AlpacaEval writes a draw for equal outputs
    and asks nobody: without a price, such a row counts as not asked.

    Raises:
      UsageError: If a file is missing.
      CorruptDataError: If one is not an annotation file.
    """
    judged: list[Judged] = []
    for path in paths:
        rows = read_judgments(path)
        judged += [
            _judged_row(row, source=str(path), place=_place(number, len(rows)))
            for number, row in enumerate(rows)
        ]
    return judged


def judged_labels(
    comparisons: Sequence[Comparison],
    labels: Sequence[Label],
    *,
    calls: Mapping[str, Sequence[LedgerCall]],
    orders: Orders | None,
) -> list[Judged]:
    """The labels of a run, in its order, up to the last one there is.

    Args:
      comparisons: All that the run is about.
      labels: Of the first of them.
      calls: Item to its questions in the run's ledger.
      orders: How they were shown; None if that is not known.

    Raises:
      CorruptDataError: If the labels are of other comparisons.
    """
    if len(labels) > len(comparisons):
        raise CorruptDataError(
            f"{len(labels)} labels, but {len(comparisons)} comparisons: prompts or"
            " completions have changed since they were labeled"
        )
    judged: list[Judged] = []
    for number, (comparison, label) in enumerate(
        zip(comparisons, labels, strict=False)
    ):
        if comparison.pair_id != label.pair_id:
            raise CorruptDataError(
                f"label {number} is of comparison {label.pair_id}, not"
                f" {comparison.pair_id}: prompts or completions have changed since"
            )
        judged.append(
            Judged(
                comparison=comparison,
                label=label,
                calls=_calls(comparison, label, calls, orders),
                place=_place(number, len(comparisons)),
                is_cut_known=True,
                attempts=_attempts(comparison, calls, orders),
            )
        )
    return judged


def preferences(judged: Sequence[Judged]) -> dict[str, float | None]:
    """The probability that one text beats another, by what was judged, both ways round.

    Raises:
      CorruptDataError: If two labels of one comparison contradict each other.
    """
    found: dict[str, float | None] = {}
    for one in judged:
        p_first = one.label.p_first
        reverse = None if p_first is None else 1.0 - p_first
        for is_reversed, p in ((False, p_first), (True, reverse)):
            key = judged_key(one, is_reversed=is_reversed)
            if found.setdefault(key, p) != p and not _is_identical(one):
                raise CorruptDataError(
                    f"the other labels contradict themselves about"
                    f" {one.instruction[:80]!r}: keep one judge's"
                )
    return found


def judged_key(one: Judged, *, is_reversed: bool = False) -> str:
    """What was judged, whoever the writers were, as a hash."""
    texts = (one.comparison.first.text, one.comparison.second.text)
    first, second = reversed(texts) if is_reversed else texts
    return content_hash(one.instruction, first, second)


def _judged_row(row: Judgment, *, source: str, place: float) -> Judged:
    """One row of an annotation file."""
    prompt = Prompt.create(
        (Message(role="user", content=row.instruction),), source=source
    )
    comparison = Comparison.create(
        prompt,
        Completion.create(prompt.prompt_id, row.output_1, generator=row.generator_1),
        Completion.create(prompt.prompt_id, row.output_2, generator=row.generator_2),
    )
    p_first = None if row.preference is None else 2.0 - row.preference
    verdict = verdict_of(p_first)
    is_asked = row.output_1 != row.output_2 or row.cost_usd > 0.0
    call = Call(swapped=is_switched(row.instruction), verdict=verdict)
    return Judged(
        comparison=comparison,
        label=Label(
            pair_id=comparison.pair_id,
            verdict=verdict,
            p_first=p_first,
            verdict_both_orders=verdict.value if is_asked else "",
            state=_state(verdict) if is_asked else "skipped_identical",
            critic=row.annotator,
            critic_returned_model=row.annotator,
            template_hash="",
            cost_usd=row.cost_usd,
        ),
        calls=(call,) if is_asked else (),
        place=place,
        is_cut_known=False,
    )


def _state(verdict: Verdict) -> str:
    return "unparsable" if verdict is Verdict.FAILED else "labeled"


def _calls(
    comparison: Comparison,
    label: Label,
    ledger: Mapping[str, Sequence[LedgerCall]],
    orders: Orders | None,
) -> tuple[Call, ...]:
    """The orders that were asked, as far as the label went.

    Of votes and jurors the verdicts are those of the majority, and the replies are left
    out: none of them alone is behind the verdict.
    """
    verdicts = _verdicts(label)
    if orders is None:
        return tuple(Call(swapped=None, verdict=verdict) for verdict in verdicts)
    shown = shown_orders(orders, instruction_text(comparison.messages))
    known = {} if label.jurors else ledger
    return tuple(
        _call(verdict, swapped, known.get(_item(comparison, swapped), ()))
        for verdict, swapped in zip(verdicts, shown, strict=False)
    )


def _attempts(
    comparison: Comparison,
    ledger: Mapping[str, Sequence[LedgerCall]],
    orders: Orders | None,
) -> Attempts | None:
    """All calls about a comparison, if the ledger tells what became of each."""
    if orders is None:
        return None
    shown = shown_orders(orders, instruction_text(comparison.messages))
    ends = [
        call.outcome
        for swapped in shown
        for call in ledger.get(_item(comparison, swapped), ())
    ]
    faults = sum((Counter(one.faults) for one in ends), Counter[str]())
    # all calls of a question but one have failed; older ledgers do not say how
    if not ends or any(sum(one.faults.values()) < one.attempts - 1 for one in ends):
        return None
    return Attempts(sum(one.attempts for one in ends), faults)


def _verdicts(label: Label) -> list[Verdict]:
    """One an order, about the comparison as it is stored."""
    names = [name for name in label.verdict_both_orders.split(",") if name]
    try:
        return [Verdict(name) for name in names]
    except ValueError as error:
        raise CorruptDataError(f"label of {label.pair_id}: {error}") from error


def _call(verdict: Verdict, swapped: bool, found: Sequence[LedgerCall]) -> Call:
    """One order; what was written is left out if several critics were asked."""
    if len(found) != 1:
        return Call(swapped=swapped, verdict=verdict)
    outcome = found[0].outcome
    is_answered = outcome.state == "answered"
    return Call(
        swapped=swapped,
        verdict=verdict,
        reply=outcome.text or outcome.error,
        is_cut=outcome.finish_reason == _CUT if is_answered else None,
        latency_s=found[0].latency_s if is_answered else None,
    )


def _item(comparison: Comparison, swapped: bool) -> str:
    """What the ledger calls the question."""
    return f"{comparison.pair_id}:{'ba' if swapped else 'ab'}"


def _place(number: int, total: int) -> float:
    return number / max(total - 1, 1)


def _is_identical(one: Judged) -> bool:
    return one.comparison.first.text == one.comparison.second.text
