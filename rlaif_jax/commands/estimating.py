"""What a run will cost that asks models, said before the first call and after the last.

The whole input is estimated, whatever earlier runs have answered of it, so that a run
that is taken up again tells the same.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.judging import judging_template
from rlaif_jax.config_endpoints import (
    CriticConfig,
    EndpointConfig,
    JuryConfig,
    Orders,
    RecordedConfig,
    asked_critics,
)
from rlaif_jax.labeling.budget import Budget, endpoint_prices
from rlaif_jax.labeling.critic import judging_questions
from rlaif_jax.labeling.endpoint import endpoint_host
from rlaif_jax.labeling.estimate import Estimate
from rlaif_jax.labeling.places import Places
from rlaif_jax.labeling.probing import QUESTION
from rlaif_jax.labeling.question import Addressee, Question
from rlaif_jax.labeling.teacher import Draw, writing_question
from rlaif_jax.records import Comparison, Message
from rlaif_jax.typing import Json


def judging_estimate(
    config: CriticConfig | RecordedConfig | JuryConfig,
    comparisons: Sequence[Comparison],
    *,
    canaries: Sequence[Comparison] = (),
    orders: Orders,
    budget_usd: float | None,
    price_share: float = 1.0,
) -> Estimate:
    """What judging these comparisons will take: each vote of each juror.

    A critic that is constrained is probed before, with one call at the listed price.
    Jurors that differ only in prices and limits share their answers: the first pays.

    Args:
      config: The critic.
      comparisons: All that are to be judged.
      canaries: Those that are planted beside them.
      orders: In which each is shown.
      budget_usd: What the run may spend, for the refusal of unknown prices.
      price_share: What is paid of the listed prices.

    Raises:
      UsageError: If there is no such template, or it does not suit the verdicts.
      RefusedError: If a price is unknown.
    """
    asked = Places()
    parts: list[Estimate] = []
    for critic in asked_critics(config):
        prices = endpoint_prices(critic, budget_usd)
        questions = itertools.chain(
            judge_questions(comparisons, orders, critic),
            judge_questions(canaries, orders, critic),
        )
        parts.append(
            Estimate.of(
                _new(questions, critic, asked),
                max_tokens=critic.answer_tokens,
                prices=prices.times(price_share),
            )
        )
        if critic.constrain != "none":
            parts.append(
                Estimate.of([QUESTION], max_tokens=critic.max_tokens, prices=prices)
            )
    return Estimate.total(parts)


def writing_estimate(
    config: EndpointConfig | RecordedConfig,
    wanted: Iterable[Draw],
    *,
    seed: int,
    budget_usd: float | None,
    price_share: float = 1.0,
) -> Estimate:
    """What writing these completions will take.

    Args:
      config: The teacher.
      wanted: All that are to be written.
      seed: The run's.
      budget_usd: What the run may spend, for the refusal of unknown prices.
      price_share: What is paid of the listed prices.

    Raises:
      RefusedError: If a price is unknown.
    """
    if isinstance(config, RecordedConfig):
        return Estimate.total([])
    return Estimate.of(
        _new((writing_question(one, seed=seed) for one in wanted), config, Places()),
        max_tokens=config.max_tokens,
        prices=endpoint_prices(config, budget_usd).times(price_share),
    )


def tell_estimate(
    estimate: Estimate, budget_usd: float | None, console: Console
) -> None:
    """Says what a run will cost, and if its budget will not last."""
    for line in _lines(estimate, budget_usd):
        console.say(line)


def tell_endpoints(
    configs: Iterable[EndpointConfig | RecordedConfig], console: Console
) -> None:
    """Says which servers will get the texts, before they do."""
    for config in configs:
        if isinstance(config, EndpointConfig):
            host = endpoint_host(config.base_url)
            console.say(f"asking {config.model} at {host} (api={config.api})")


def spending(budget: Budget, estimate: Estimate) -> str:
    """What was spent so far, by all runs on the ledger, beside the estimate."""
    return f"{budget.spent_usd:.2f} of about {estimate.cost_usd:.2f} USD"


def dry_result(estimate: Estimate, budget_usd: float | None) -> Json:
    """The result of a run that asks nothing."""
    return {
        "dry_run": True,
        "estimate": estimate.to_json(),
        "budget_usd": budget_usd,
    }


def show_dry(result: Json) -> None:
    """Prints the result of a run that asked nothing."""
    for line in _lines(Estimate(**result["estimate"]), result["budget_usd"]):
        print(line)
    print("dry run: nothing was asked")


def show_spent(result: Json) -> None:
    """Prints what was asked and spent, and what was estimated."""
    estimate = result["estimate"]
    print(
        f"{result['calls']} calls, {result['cost_usd']:.4f} USD; estimated:"
        f" {estimate['calls']} calls, {estimate['cost_usd']:.4f} USD, at most"
        f" {estimate['at_most_usd']:.4f}"
    )


def _lines(estimate: Estimate, budget_usd: float | None) -> Iterator[str]:
    yield estimate.told()
    if budget_usd is not None and estimate.cost_usd > budget_usd:
        yield (
            f"budget_usd={budget_usd:g} is less than that: the run will stop there, and"
            " go on when it is raised"
        )


def judge_questions(
    comparisons: Iterable[Comparison], orders: Orders, critic: CriticConfig
) -> Iterator[Question]:
    """All that a critic is asked if each answer is a verdict, vote by vote."""
    template = judging_template(critic)
    for vote in range(critic.votes):
        for one in comparisons:
            yield from judging_questions(
                one,
                orders=orders,
                template=template,
                verdicts=critic.verdicts,
                vote=vote,
            )


def _new(
    questions: Iterable[Question], config: EndpointConfig, asked: Places
) -> Iterator[Sequence[Message]]:
    """The prompts of questions whose answers will not be in the ledger by then."""
    addressee = Addressee.of(config)
    for question in questions:
        key = bytes.fromhex(addressee.key(question)[:32])
        if asked.get(key) is None:
            asked[key] = 0
            yield question.messages
