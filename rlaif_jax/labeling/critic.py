"""Models that judge comparisons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from rlaif_jax.config_endpoints import Orders, Verdicts
from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.asking import Asker, Posed
from rlaif_jax.labeling.order import shown_orders
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.labeling.prompts import Template, instruction_text
from rlaif_jax.labeling.question import Question
from rlaif_jax.labeling.verdict_tokens import verdict_odds
from rlaif_jax.labeling.verdicts import Grammar
from rlaif_jax.labeling.wording import VERDICT
from rlaif_jax.records import Comparison, Label, Usage, Verdict, content_hash

_MAX_UNPARSABLE_IN_A_ROW = 20  # comparisons, before the run is stopped
_LONGEST_QUOTE = 80  # characters of an answer that a message shows


@runtime_checkable
class Critic(Protocol):
    """Judges one comparison."""

    @property
    def name(self) -> str:
        """Whose judgments these are."""
        ...

    @property
    def template_hash(self) -> str:
        """Of the question put to the critic."""
        ...

    def questions(self, comparison: Comparison) -> Iterator[Posed]:
        """Yields what `judge` asks if every answer is usable."""
        ...

    async def judge(self, comparison: Comparison) -> Label:
        """Returns the label of a comparison."""
        ...


def identical_label(comparison: Comparison, *, critic: Critic) -> Label:
    """The tie of two equal texts, for which nobody need be asked."""
    return Label(
        pair_id=comparison.pair_id,
        verdict=Verdict.TIE,
        p_first=0.5,
        verdict_both_orders="",
        state="skipped_identical",
        critic=critic.name,
        critic_returned_model="",
        template_hash=critic.template_hash,
    )


def judging_questions(
    comparison: Comparison,
    *,
    orders: Orders,
    template: Template,
    verdicts: Verdicts,
    vote: int,
) -> Iterator[Question]:
    """Yields what a critic is asked about a comparison, one question an order.

    Nothing about two equal texts: they are a tie without a call.

    Args:
      comparison: The two completions.
      orders: In which the completions are shown.
      template: The words around them.
      verdicts: `soft` verdicts are another question: its tokens are asked for.
      vote: Tells apart critics that ask the same several times.
    """
    if comparison.first.text == comparison.second.text:
        return
    template_hash = _asked_hash(template, verdicts)
    for swapped in shown_orders(orders, instruction_text(comparison.messages)):
        yield Question(
            messages=template.messages(comparison, swapped=swapped),
            item=f"{comparison.pair_id}:{'ba' if swapped else 'ab'}",
            template_hash=template_hash,
            vote=vote,
        )


def _asked_hash(template: Template, verdicts: Verdicts) -> str:
    """Of the question put to the model, and of asking for its tokens."""
    if verdicts == "hard":
        return template.hash
    return content_hash(verdicts, template.hash)


def verdict_of(p_first: float | None) -> Verdict:
    """The verdict that a probability of the first being better amounts to."""
    if p_first is None:
        return Verdict.FAILED
    if p_first == 0.5:
        return Verdict.TIE
    return Verdict.FIRST if p_first > 0.5 else Verdict.SECOND


class Reading(NamedTuple):
    """What one answer says.

    Attributes:
      p_first: Probability that the first completion is better; None if no verdict.
      mass: Of both verdict tokens together; None of a hard verdict.
    """

    p_first: float | None
    mass: float | None = None


@dataclass(kw_only=True)
class ChatCritic:
    """A chat model that judges, in one order or in both.

    Attributes:
      asker: Asks the model.
      orders: `both`: the mean of both orders counts, so that verdicts which change
        when the completions change places are a tie; `hashed`: one order, as in the
        paper.
      template: The question, and how its answer is read.
      verdicts: `hard`: what the model said; `soft`: how likely it was to say either.
      vote: Tells apart critics that ask the same several times.
    """

    asker: Asker
    orders: Orders = "both"
    template: Template = VERDICT
    verdicts: Verdicts = "hard"
    vote: int = 0
    _unparsable_in_a_row: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """The requested model's name."""
        return self.asker.chat.model

    @property
    def template_hash(self) -> str:
        """Of the question put to the model, and of asking for its tokens."""
        return _asked_hash(self.template, self.verdicts)

    def questions(self, comparison: Comparison) -> Iterator[Posed]:
        """Yields what `judge` asks if every answer is a verdict, order by order."""
        for question in judging_questions(
            comparison,
            orders=self.orders,
            template=self.template,
            verdicts=self.verdicts,
            vote=self.vote,
        ):
            yield Posed(self.asker, question)

    async def judge(self, comparison: Comparison) -> Label:
        """Returns the label of a comparison.

        Two equal texts are a tie without a call. The first order that yields no
        verdict fails the comparison, and the other is not paid for.

        Raises:
          StoppedError: If the run is stopping.
          CommandError: If the model cannot be asked, or answers without verdicts.
        """
        if comparison.first.text == comparison.second.text:
            return identical_label(comparison, critic=self)
        outcomes: list[Outcome] = []
        readings: list[Reading] = []
        state = "labeled"
        orders = shown_orders(self.orders, instruction_text(comparison.messages))
        posed = self.questions(comparison)
        for swapped, (asker, question) in zip(orders, posed, strict=True):
            outcome = await asker.ask_once(question)
            outcomes.append(outcome)
            readings.append(self._reading(outcome, swapped=swapped))
            if readings[-1].p_first is None:
                answered = outcome.state == "answered"
                state = "unparsable" if answered else outcome.state
                break
        self._watch(state, outcomes[-1])
        return self._label(comparison, state, readings, outcomes)

    def _reading(self, outcome: Outcome, *, swapped: bool) -> Reading:
        """What an answer says about the comparison as it is stored."""
        grammar = self.template.grammar
        is_cut = grammar.needs_end and outcome.finish_reason == "length"
        if outcome.state != "answered" or is_cut:
            return Reading(None)
        reading = _READERS[self.verdicts](outcome, grammar)
        if reading.p_first is None or not swapped:
            return reading
        return reading._replace(p_first=1.0 - reading.p_first)

    def _watch(self, state: str, outcome: Outcome) -> None:
        """Stops a run whose model answers, but gives no verdicts."""
        if state != "unparsable":
            self._unparsable_in_a_row = 0
            return
        self._unparsable_in_a_row += 1
        if self._unparsable_in_a_row >= _MAX_UNPARSABLE_IN_A_ROW:
            words = " ".join(outcome.text.split())[:_LONGEST_QUOTE]
            raise RefusedError(
                f"{self._unparsable_in_a_row} answers of {self.name!r} in a row are no"
                f" verdict; the last ({outcome.finish_reason}): {words!r}: choose a"
                " critic that follows instructions, or give it more max_tokens"
            )

    def _label(
        self,
        comparison: Comparison,
        state: str,
        readings: Sequence[Reading],
        outcomes: Sequence[Outcome],
    ) -> Label:
        """The label that the calls add up to."""
        p_first = _mean([one.p_first for one in readings])
        return Label(
            pair_id=comparison.pair_id,
            verdict=verdict_of(p_first),
            p_first=p_first,
            verdict_both_orders=",".join(
                verdict_of(one.p_first).value for one in readings
            ),
            state=state,
            critic=self.name,
            critic_returned_model=outcomes[0].returned_model,
            template_hash=self.template_hash,
            usage=Usage(
                prompt_tokens=sum(one.usage.prompt_tokens for one in outcomes),
                completion_tokens=sum(one.usage.completion_tokens for one in outcomes),
            ),
            cost_usd=sum(one.cost_usd for one in outcomes),
            calls=sum(one.attempts for one in outcomes),
            verdict_mass=_mean([one.mass for one in readings]),
        )


def _hard_reading(outcome: Outcome, grammar: Grammar) -> Reading:
    """What the model said."""
    choice = grammar.choice(outcome.text)
    return Reading(None if choice is None else float(choice == "a"))


def _soft_reading(outcome: Outcome, grammar: Grammar) -> Reading:
    """How likely the model was to say either."""
    if outcome.odds is not None:
        p_a, p_b = outcome.odds
        return Reading(p_a / (p_a + p_b), min(p_a + p_b, 1.0))
    if outcome.text.strip() and not outcome.tokens:
        raise UsageError(
            f"{outcome.returned_model or 'the server'} sent no token log-probabilities,"
            " which verdicts=soft needs: use verdicts=hard, or a server that sends"
            " them (of a reasoning model, only with reasoning_effort=none)"
        )
    try:
        odds = verdict_odds(outcome.text, outcome.tokens, grammar)
    except ValueError as error:
        raise UsageError(
            f"cannot read a soft verdict from an answer of {outcome.returned_model}:"
            f" {error}: use verdicts=hard, or a model that answers without reasoning"
            " (reasoning_effort=none)"
        ) from error
    return Reading(None) if odds is None else Reading(odds.p_a, odds.mass)


_READERS = {"hard": _hard_reading, "soft": _soft_reading}


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean, or None if one of them is missing."""
    known = [value for value in values if value is not None]
    return sum(known) / len(values) if len(known) == len(values) else None
