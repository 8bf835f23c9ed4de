"""Evaluations as AlpacaEval's files: annotations, and a model's outputs."""

from collections.abc import Sequence

from rlaif_jax.evaluation.win_rate import OUTCOMES
from rlaif_jax.labeling.prompts import instruction_text
from rlaif_jax.records import Comparison, Completion, Label
from rlaif_jax.typing import Json

_BASE = 1.0  # of AlpacaEval's preferences: output_1 is better


def annotation_rows(
    comparisons: Sequence[Comparison], labels: Sequence[Label]
) -> list[Json]:
    """A row a comparison, as `alpaca_eval` writes `annotations.json`.

    Args:
      comparisons: The baseline first, the candidate second.
      labels: One each.
    """
    return [
        {
            "instruction": instruction_text(comparison.messages),
            "output_1": comparison.first.text,
            "generator_1": comparison.first.generator,
            "output_2": comparison.second.text,
            "generator_2": comparison.second.generator,
            "annotator": label.critic,
            "preference": _preference(label),
            "price_per_example": label.cost_usd,
        }
        for comparison, label in zip(comparisons, labels, strict=True)
    ]


def model_output_rows(comparisons: Sequence[Comparison]) -> list[Json]:
    """The candidate's texts, as `alpaca_eval` reads `model_outputs.json`."""
    return [_output_row(one, one.second) for one in comparisons]


def _output_row(comparison: Comparison, completion: Completion) -> Json:
    return {
        "instruction": instruction_text(comparison.messages),
        "output": completion.text,
        "generator": completion.generator,
    }


def _preference(label: Label) -> float | None:
    """1: the baseline won, 2: the candidate, 1.5: a draw; None without a verdict."""
    won = OUTCOMES[label.verdict]
    return None if won is None else _BASE + won
