"""Models that judge comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from rlaif_jax.config_parts import Orders
from rlaif_jax.errors import RefusedError
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.order import shown_orders
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.labeling.prompts import TEMPLATE_HASH, instruction_text, judge_messages
from rlaif_jax.labeling.verdicts import parse_choice
from rlaif_jax.records import Comparison, Label, Usage, Verdict

_MAX_UNPARSABLE_IN_A_ROW = 20  # comparisons, before the run is stopped
_LONGEST_QUOTE = 80  # characters of an answer that a message shows

_P_FIRST = {Verdict.FIRST: 1.0, Verdict.SECOND: 0.0}


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


@dataclass(kw_only=True)
class ChatCritic:
    """A chat model that judges, in one order or in both.

    Attributes:
      asker: Asks the model.
      orders: `both`: a verdict counts if it does not change when the completions
        change places, else it is a tie; `hashed`: one order, as in the paper.
    """

    asker: Asker
    orders: Orders = "both"
    _unparsable_in_a_row: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """The requested model's name."""
        return self.asker.chat.model

    @property
    def template_hash(self) -> str:
        """Of the question put to the model."""
        return TEMPLATE_HASH

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
        verdicts: list[Verdict] = []
        state = "labeled"
        instruction = instruction_text(comparison.messages)
        for swapped in shown_orders(self.orders, instruction):
            outcome = await self.asker.ask_once(
                judge_messages(comparison, swapped=swapped),
                item=f"{comparison.pair_id}:{'ba' if swapped else 'ab'}",
                template_hash=TEMPLATE_HASH,
            )
            outcomes.append(outcome)
            verdicts.append(_verdict(outcome, swapped=swapped))
            if verdicts[-1] is Verdict.FAILED:
                answered = outcome.state == "answered"
                state = "unparsable" if answered else outcome.state
                break
        self._watch(state, outcomes[-1])
        return self._label(comparison, state, verdicts, outcomes)

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
        verdicts: Sequence[Verdict],
        outcomes: Sequence[Outcome],
    ) -> Label:
        """The label that the calls add up to."""
        verdict, p_first = _decided(verdicts)
        return Label(
            pair_id=comparison.pair_id,
            verdict=verdict,
            p_first=p_first,
            verdict_both_orders=",".join(verdict.value for verdict in verdicts),
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
        )


def _verdict(outcome: Outcome, *, swapped: bool) -> Verdict:
    """One call's verdict, about the comparison as it is stored."""
    choice = parse_choice(outcome.text) if outcome.state == "answered" else None
    if choice is None:
        return Verdict.FAILED
    return Verdict.FIRST if (choice == "a") != swapped else Verdict.SECOND


def _decided(verdicts: Sequence[Verdict]) -> tuple[Verdict, float | None]:
    """The verdict of all orders, and the probability that the first is better."""
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED, None
    p_first = sum(_P_FIRST[verdict] for verdict in verdicts) / len(verdicts)
    agreed = verdicts[0] if len(set(verdicts)) == 1 else Verdict.TIE
    return agreed, p_first
