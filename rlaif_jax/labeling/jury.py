"""Several critics as one: of each comparison, what most of them say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlaif_jax.labeling.asking import Posed
from rlaif_jax.labeling.critic import Critic, identical_label, verdict_of
from rlaif_jax.records import Comparison, Label, Usage, Verdict, content_hash


@dataclass(frozen=True, kw_only=True)
class Jury:
    """Critics that all judge every comparison.

    One critic that is asked several times is a jury of its votes.

    Attributes:
      critics: The jurors, in the order in which they are asked.
    """

    critics: tuple[Critic, ...]

    @property
    def name(self) -> str:
        """The jurors' names, each once."""
        return "+".join(dict.fromkeys(critic.name for critic in self.critics))

    @property
    def template_hash(self) -> str:
        """Of the question, or of all questions if they differ."""
        hashes = [critic.template_hash for critic in self.critics]
        return hashes[0] if len(set(hashes)) == 1 else content_hash("jury", hashes)

    def questions(self, comparison: Comparison) -> Iterator[Posed]:
        """Yields what every juror asks if each answer is usable, juror by juror."""
        for critic in self.critics:
            yield from critic.questions(comparison)

    async def judge(self, comparison: Comparison) -> Label:
        """Returns what more than half of the jurors with a verdict say, else a tie.

        A juror without a usable verdict does not count; without any, the comparison
        ends like the first juror's. One that got no answer fails the comparison, and
        a later run asks it again: labels must not depend on who was within reach.

        Raises:
          StoppedError: If the run is stopping.
          CommandError: If a juror cannot judge at all.
        """
        if comparison.first.text == comparison.second.text:
            return identical_label(comparison, critic=self)
        labels: list[Label] = []
        for critic in self.critics:
            labels.append(await critic.judge(comparison))
            if labels[-1].state == "failed":
                break
        return self._label(comparison, labels)

    def _label(self, comparison: Comparison, labels: Sequence[Label]) -> Label:
        """The label that the jurors' add up to."""
        is_failed = labels[-1].state == "failed"
        cast = [one for one in labels if one.p_first is not None and not is_failed]
        models = dict.fromkeys(label.critic_returned_model for label in labels)
        masses = [one.verdict_mass for one in cast if one.verdict_mass is not None]
        return Label(
            pair_id=comparison.pair_id,
            verdict=majority(cast) if cast else Verdict.FAILED,
            p_first=_mean([label.p_first or 0.0 for label in cast]),
            verdict_both_orders=_by_order(cast),
            state="labeled" if cast else labels[-1 if is_failed else 0].state,
            critic=self.name,
            critic_returned_model="+".join(name for name in models if name),
            template_hash=self.template_hash,
            usage=Usage(
                prompt_tokens=sum(one.usage.prompt_tokens for one in labels),
                completion_tokens=sum(one.usage.completion_tokens for one in labels),
            ),
            cost_usd=sum(one.cost_usd for one in labels),
            calls=sum(one.calls for one in labels),
            verdict_mass=_mean(masses),
            jurors=tuple(labels),
        )


def majority(labels: Sequence[Label]) -> Verdict:
    """The verdict of more than half of the labels, else a tie.

    It is a tie, too, if their mean probability does not agree: a majority that is
    nearly undecided, against one that is sure.

    Args:
      labels: With verdicts, not failures.
    """
    p_first = _mean([label.p_first or 0.0 for label in labels]) or 0.0
    verdict = _most([label.verdict for label in labels])
    return verdict if verdict is verdict_of(p_first) else Verdict.TIE


def _most(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict that more than half of them are, else a tie."""
    for verdict in (Verdict.FIRST, Verdict.SECOND):
        if 2 * sum(one is verdict for one in verdicts) > len(verdicts):
            return verdict
    return Verdict.TIE


def _by_order(labels: Sequence[Label]) -> str:
    """What most of the jurors said in each order; empty if they saw different ones."""
    told = [label.verdict_both_orders.split(",") for label in labels]
    if len({len(orders) for orders in told}) != 1:
        return ""
    by_order = zip(*told, strict=True)
    return ",".join(_most([Verdict(one) for one in order]).value for order in by_order)


def _mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return sum(values) / len(values) if values else None
