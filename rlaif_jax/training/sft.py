"""Supervised fine-tuning on completions."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rlaif_jax.config_losses import SftLoss
from rlaif_jax.config_parts import TokensConfig
from rlaif_jax.data.encoded import EncodedExample, Fate
from rlaif_jax.data.layout import Layout
from rlaif_jax.data.order import Source
from rlaif_jax.data.packing import Example, PackedRows
from rlaif_jax.data.paper_tokens import encode_as_paper
from rlaif_jax.data.tokenization import encode_completion, encode_prompt
from rlaif_jax.data.tokenizer import Tokenizer
from rlaif_jax.losses import mean_token_nll, sequence_nll
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.records import Completion, Prompt
from rlaif_jax.training.batches import place_rows, require_known
from rlaif_jax.training.facts import BatchFacts, batch_facts
from rlaif_jax.training.plan import (
    Session,
    StartModel,
    TrainingPlan,
    TrainResult,
    finished_result,
)
from rlaif_jax.training.run import Task, train
from rlaif_jax.training.scoring import score_rows, sequence_sums, with_balance
from rlaif_jax.training.step import LossFn, Metrics

_ExampleLoss = Callable[[Float[Array, " B"], Int[Array, " B"]], Float[Array, " B"]]

LOSSES: dict[SftLoss, _ExampleLoss] = {
    "sequence_sum": sequence_nll,
    "token_mean": mean_token_nll,
}


class ExampleEncoder:
    """Turns prompts with completions into ids; equal texts are encoded once.

    Attributes:
      counts: Examples, and how many of their two sides were truncated.
    """

    def __init__(self, tokenizer: Tokenizer, tokens: TokensConfig):
        self.counts: Counter[str] = Counter()
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._prompts: dict[str, Encoded] = {}
        self._completions: dict[tuple[str, str], Encoded] = {}

    def encode(self, prompt: Prompt, completion: Completion) -> Example:
        """A prompt and its completion as ids."""
        key = (completion.text, completion.finish_reason)
        if prompt.prompt_id not in self._prompts:
            self._prompts[prompt.prompt_id] = self._prompt(prompt)
        if key not in self._completions:
            self._completions[key] = self._completion(completion)
        sides = (self._prompts[prompt.prompt_id], self._completions[key])
        self.counts["examples"] += 1
        for side in sides:
            self.counts.update(side.counts)
        cut, counts = sides[0].counts["prompts_truncated"], sides[1].counts
        fate = Fate(
            truncated=(cut > 0, counts["completions_truncated"] > 0),
            ended=(not counts["completions_without_end"],),
        )
        return EncodedExample.create(Example(sides[0].ids, sides[1].ids), fate)

    def _prompt(self, prompt: Prompt) -> "Encoded":
        counts: Counter[str] = Counter()
        ids = encode_prompt(
            self._tokenizer, prompt.messages, self._tokens, counts=counts
        )
        return Encoded(ids, {"prompts_truncated": counts["prompts_truncated"]})

    def _completion(self, completion: Completion) -> "Encoded":
        counts: Counter[str] = Counter()
        ids = encode_completion(
            self._tokenizer,
            completion.text,
            completion.finish_reason,
            self._tokens,
            self._tokenizer.eos_token_id,
            counts=counts,
        )
        names = ("completions_truncated", "completions_without_end")
        return Encoded(ids, {name: counts[name] for name in names})


class PaperExampleEncoder:
    """Turns prompts with completions into ids as the paper's code does.

    Attributes:
      counts: Examples, and how many of their two sides were truncated.
    """

    def __init__(self, tokenizer: Tokenizer, tokens: TokensConfig):
        self.counts: Counter[str] = Counter()
        self._tokenizer = tokenizer
        self._tokens = tokens

    def encode(self, prompt: Prompt, completion: Completion) -> Example:
        """A prompt and its completion as ids; each is cut by the other's length."""
        ids = encode_as_paper(
            self._tokenizer, prompt.messages, [completion.text], self._tokens
        )
        self.counts["examples"] += 1
        self.counts["prompts_truncated"] += ids.fate.truncated[0]
        self.counts["completions_truncated"] += ids.fate.truncated[1]
        self.counts["completions_without_end"] += not ids.fate.ended[0]
        return EncodedExample.create(Example(ids.prompt, *ids.completions), ids.fate)


ENCODERS: dict[str, type[ExampleEncoder] | type[PaperExampleEncoder]] = {
    "clean": ExampleEncoder,
    "paper": PaperExampleEncoder,
}


class Encoded(NamedTuple):
    """One side of an example, and what became of it."""

    ids: list[int]
    counts: dict[str, int]


def train_sft(
    start: StartModel,
    examples: Source[Example],
    *,
    objective: LossFn,
    layout: Layout,
    plan: TrainingPlan,
    session: Session,
) -> TrainResult:
    """Fine-tunes on completions; returns at once if the folder's run is finished.

    Args:
      start: The model at step 0.
      examples: Prompts and completions, as ids.
      objective: From `sft_objective`.
      layout: Makes rows of a batch.
      plan: Optimizer, batch size and length of the run.
      session: Folder, devices, progress and stop.

    Raises:
      CommandError: As `training.run.train` does.
    """
    finished = finished_result(session.out)
    if finished is not None:
        return finished

    def load(parts: Sequence[Sequence[Example]]) -> list[PackedRows]:
        for part in parts:
            require_known(part, start.config.vocab_size)
        return [place_rows(rows, session.mesh) for rows in layout.parts(parts)]

    def describe(
        parts: Sequence[Sequence[Example]], batch: Sequence[PackedRows]
    ) -> BatchFacts:
        return batch_facts(start.config, [one for part in parts for one in part], batch)

    task = Task(objective, load, describe=describe)
    return train(start, examples, task=task, plan=plan, session=session)


def sft_objective(
    config: TransformerConfig, loss: SftLoss, *, router_weight: float = 0.0
) -> LossFn:
    """The mean loss of a batch of rows, with its metrics.

    Besides the loss these are `logps/chosen`, the mean log-probability of a
    completion, by the name of the paper's code, and `nll/chosen`, the mean over
    examples of the negated means over their tokens, of which `derived` makes the
    paper's `ppl/chosen`.

    Args:
      config: The architecture.
      loss: Sum over each completion's tokens, as in the paper, or their mean.
      router_weight: Of the experts' load balancing loss, which is added.
    """
    example_loss = LOSSES[loss]

    def objective(params: Params, rows: PackedRows) -> tuple[Float[Array, ""], Metrics]:
        scores = score_rows(config, params, rows)
        logps = sequence_sums(scores.token_logps, rows)[:, 0]
        lengths = jnp.asarray(rows.lengths)[:, 0]
        metrics = {
            "logps/chosen": logps.mean(),
            "nll/chosen": mean_token_nll(logps, lengths).mean(),
        }
        mean = example_loss(logps, lengths).mean()
        return with_balance(mean, scores.balance, metrics, weight=router_weight)

    return objective
