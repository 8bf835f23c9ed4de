"""What `label` and `complete` will cost, said before the first call and after the last.

The whole input is estimated, whatever earlier runs have answered of it, so that a run
that is taken up again tells the same.
"""

from collections.abc import Iterable, Iterator, Sequence

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.judging import judging_template
from rlaif_jax.config_parts import (
    CriticConfig,
    EndpointConfig,
    JuryConfig,
    Orders,
    RecordedConfig,
    asked_critics,
)
from rlaif_jax.labeling.budget import Budget, endpoint_prices
from rlaif_jax.labeling.endpoint import endpoint_host
from rlaif_jax.labeling.estimate import Estimate
from rlaif_jax.labeling.order import shown_orders
from rlaif_jax.labeling.probing import QUESTION
from rlaif_jax.labeling.prompts import Template, instruction_text
from rlaif_jax.records import Comparison, Message, Prompt
from rlaif_jax.typing import Json


def judging_estimate(
    config: CriticConfig | RecordedConfig | JuryConfig,
    comparisons: Sequence[Comparison],
    *,
    orders: Orders,
    budget_usd: float | None,
) -> Estimate:
    """What judging these comparisons will take: each vote of each juror.

    A critic that is constrained is probed before, with one call.

    Raises:
      UsageError: If there is no such template, or it does not suit the verdicts.
      RefusedError: If a price is unknown.
    """
    parts: list[Estimate] = []
    for critic in asked_critics(config):
        prices = endpoint_prices(critic, budget_usd)
        questions = _judge_questions(comparisons, orders, judging_template(critic))
        parts.append(
            Estimate.of(
                questions,
                max_tokens=critic.answer_tokens,
                prices=prices,
                times=critic.votes,
            )
        )
        if critic.constrain != "none":
            parts.append(
                Estimate.of([QUESTION], max_tokens=critic.max_tokens, prices=prices)
            )
    return Estimate.total(parts)


def writing_estimate(
    config: EndpointConfig | RecordedConfig,
    prompts: Sequence[Prompt],
    *,
    budget_usd: float | None,
) -> Estimate:
    """What completing these prompts will take.

    Raises:
      RefusedError: If a price is unknown.
    """
    if isinstance(config, RecordedConfig):
        return Estimate.total([])
    return Estimate.of(
        (prompt.messages for prompt in prompts),
        max_tokens=config.max_tokens,
        prices=endpoint_prices(config, budget_usd),
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


def _judge_questions(
    comparisons: Iterable[Comparison], orders: Orders, template: Template
) -> Iterator[Sequence[Message]]:
    """All that a `ChatCritic` asks if each answer is a verdict."""
    for one in comparisons:
        if one.first.text != one.second.text:
            for swapped in shown_orders(orders, instruction_text(one.messages)):
                yield template.messages(one, swapped=swapped)
