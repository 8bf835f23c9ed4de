"""Has every evaluator of an evaluation judge its comparisons."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rlaif_jax.commands.answering import labels_of
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.estimating import judging_estimate, spending, tell_endpoints
from rlaif_jax.commands.judging import inputs_hash, open_judge
from rlaif_jax.config import EvaluateConfig
from rlaif_jax.config_endpoints import (
    CriticConfig,
    JuryConfig,
    RecordedConfig,
    asked_critics,
)
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.estimate import Estimate
from rlaif_jax.records import Comparison, Label, content_hash
from rlaif_jax.run_folder import claim
from rlaif_jax.typing import Json


class Judged(NamedTuple):
    """What one evaluator said.

    Attributes:
      name: The model's, or the models' of a jury.
      labels: One a comparison, in order.
      accounts: What they took.
      spent_usd: By all runs on its ledger.
    """

    name: str
    labels: list[Label]
    accounts: Accounts
    spent_usd: float


def evaluator_folder(out: Path, number: int) -> Path:
    """Where an evaluator's ledger and verdicts are: the first one's in the run folder.

    A ledger of its own keeps calls apart that are about the same comparison.
    """
    return out if number == 0 else out / f"evaluator_{number + 1}"


def evaluation_estimate(
    config: EvaluateConfig, comparisons: Sequence[Comparison]
) -> Estimate:
    """What all evaluators together will take.

    Raises:
      CommandError: As `judging_estimate`.
    """
    return Estimate.total(
        [
            judging_estimate(
                evaluator,
                comparisons,
                orders=config.orders,
                budget_usd=config.budget_usd,
            )
            for evaluator in config.judges
        ]
    )


async def judge_all(
    config: EvaluateConfig,
    comparisons: Sequence[Comparison],
    estimate: Estimate,
    out: Path,
    console: Console,
) -> list[Judged]:
    """The labels of one evaluator after the other, within one budget.

    Raises:
      CommandError: As `label_all`.
    """
    judged: list[Judged] = []
    for evaluator in config.judges:
        run = _Run(
            config, evaluator, len(judged), spent_usd=sum(x.spent_usd for x in judged)
        )
        judged.append(await run.judge(comparisons, estimate, out, console))
    return judged


def total_spent(judged: Sequence[Judged]) -> Json:
    """Calls, tokens and price of all evaluators."""
    parts = [one.accounts.spent() for one in judged]
    return {key: sum(part[key] for part in parts) for key in parts[0]}


class _Run(NamedTuple):
    """One evaluator's part of an evaluation."""

    config: EvaluateConfig
    evaluator: CriticConfig | RecordedConfig | JuryConfig
    number: int
    spent_usd: float  # by those before it

    async def judge(
        self,
        comparisons: Sequence[Comparison],
        estimate: Estimate,
        out: Path,
        console: Console,
    ) -> Judged:
        """The label of every comparison, in order."""
        config = self.config
        budget_usd = config.budget_usd
        if budget_usd is not None:
            budget_usd = max(0.0, budget_usd - self.spent_usd)
        accounts = Accounts(
            total=len(comparisons), max_unanswered=config.max_unanswered
        )
        async with open_judge(
            self.evaluator,
            orders=config.orders,
            out=evaluator_folder(out, self.number),
            budget_usd=budget_usd,
        ) as judge:
            if self.number == 0:
                claim(out, config, inputs=_inputs_hash(config, comparisons))
            tell_endpoints(asked_critics(self.evaluator), console)
            labels = await labels_of(
                judge,
                comparisons,
                accounts=accounts,
                progress=lambda now: console.update(
                    "verdicts", now.done, now.total, spending(judge.budget, estimate)
                ),
            )
            spent_usd = judge.budget.spent_usd
        return Judged(judge.critic.name, labels, accounts, spent_usd)


def _inputs_hash(config: EvaluateConfig, comparisons: Sequence[Comparison]) -> str:
    """A hash of what is judged, and of what words are read for it."""
    hashes = [inputs_hash(evaluator, comparisons) for evaluator in config.judges]
    return hashes[0] if len(hashes) == 1 else content_hash(hashes)
