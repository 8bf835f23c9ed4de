"""What training logged, computed again from its checkpoints and shards."""

from itertools import islice
from pathlib import Path

from jax.sharding import Mesh

from rlaif_jax.checkpoint.steps import finished_steps
from rlaif_jax.checkpoint.store import open_folder
from rlaif_jax.config_parts import TokensConfig
from rlaif_jax.config_training import DpoConfig
from rlaif_jax.data.layout import build_layout, row_tokens
from rlaif_jax.data.manifest import read_manifest
from rlaif_jax.data.row_sources import ManifestSource
from rlaif_jax.data.shards import read_shard
from rlaif_jax.data.tokenizer import Tokenizer, load_tokenizer
from rlaif_jax.errors import UsageError
from rlaif_jax.inspection.log_ratios import (
    LogRatios,
    NamedPair,
    PairStrips,
    log_ratios,
)
from rlaif_jax.inspection.runs import DpoRun, load_model, read_metrics
from rlaif_jax.inspection.scorer import Model, PairScorer
from rlaif_jax.records import Preference
from rlaif_jax.sharding.mesh import batch_divisor
from rlaif_jax.training.feed import STREAMS
from rlaif_jax.training.held_out import hold_out
from rlaif_jax.training.pairs import encode_preference
from rlaif_jax.training.preference_loss import PreferenceLoss


def read_pairs(
    preferences: Path, tokenizer: Tokenizer, tokens: TokensConfig
) -> list[NamedPair]:
    """All sealed preferences of a folder as ids, in their order.

    Raises:
      UsageError: If there is no manifest.
      CorruptDataError: If a shard is not what was sealed.
    """
    return [
        _named(preference, tokenizer, tokens)
        for entry in read_manifest(preferences).entries
        for preference in read_shard(preferences, entry)
    ]


def run_log_ratios(run: DpoRun, mesh: Mesh, *, num_strips: int = 4) -> LogRatios:
    """The finished policy of a run against its reference, on its own preferences."""
    config = run.config
    return log_ratios(
        load_model(run.folder, mesh, compute_dtype=config.model.compute_dtype),
        _load_reference(run, mesh),
        read_pairs(run.preferences, _tokenizer(run), config.tokens),
        scorer=_scorer(config, mesh),
        beta=_beta(run),
        num_strips=num_strips,
    )


def strip_texts(run: DpoRun, pair: PairStrips) -> tuple[list[str], list[str]]:
    """The text of each token of a pair's completions, with line breaks visible."""
    tokenizer = _tokenizer(run)
    chosen, rejected = (
        [tokenizer.decode([token]).replace("\n", "\\n") for token in strip.token_ids]
        for strip in pair
    )
    return chosen, rejected


def comparable_steps(run: DpoRun) -> list[int]:
    """Steps whose logged metrics can be computed again.

    A step's metrics come from the weights before it: the reference for step 1, and
    checkpoint n for step n + 1, if it is still there.
    """
    last = read_metrics(run.folder)[-1]["step"]
    kept = finished_steps(open_folder(run.folder).checkpoints)
    return [1, *(step + 1 for step in kept if step < last)]


def batch_log_ratios(run: DpoRun, step: int, mesh: Mesh) -> LogRatios:
    """The pairs of one training step, under the weights that it started from.

    The means of the result are what training logged for the step.

    Args:
      run: A finished run.
      step: One of `comparable_steps`.
      mesh: Where the models go.

    Raises:
      UsageError: If the weights before that step, or its batch, are not there.
    """
    config = run.config
    if step not in (known := comparable_steps(run)):
        raise UsageError(f"step {step} of {run.folder} cannot be redone, only {known}")
    reference = _load_reference(run, mesh)
    dtype = config.model.compute_dtype
    before = (
        reference
        if step == 1
        else load_model(run.folder, mesh, step=step - 1, compute_dtype=dtype)
    )
    return log_ratios(
        before,
        reference,
        _batch(run, step),
        scorer=_scorer(config, mesh),
        beta=_beta(run),
        num_strips=0,
    )


def _beta(run: DpoRun) -> float:
    """What makes the run's rewards of log-ratios.

    Raises:
      UsageError: If its loss compares something else.
    """
    beta = PreferenceLoss(run.config.loss).beta
    if beta is None:
        raise UsageError(
            f"{run.folder} was trained with the loss {run.config.loss.name}, whose"
            " rewards are not beta times log-ratios of whole completions: the inspect"
            " command tells those log-ratios"
        )
    return beta


def _batch(run: DpoRun, step: int) -> list[NamedPair]:
    """The pairs of one training step."""
    config = run.config
    every = ManifestSource(run.preferences, wait_s=0.0)
    held_out = hold_out(config.validation, run.preferences, every)
    stream = STREAMS[config.order](
        held_out.training if held_out else every,
        batch_size=config.batch_size,
        epochs=config.epochs,
        seed=config.seed,
    )
    batch = next(islice(stream, step - 1, None), None)
    if batch is None:
        raise UsageError(f"{run.preferences} has no batch {step}: is it the run's own?")
    tokenizer = _tokenizer(run)
    return [_named(record, tokenizer, config.tokens) for record in batch.records]


def _named(
    preference: Preference, tokenizer: Tokenizer, tokens: TokensConfig
) -> NamedPair:
    pair = encode_preference(tokenizer, preference, tokens)
    return NamedPair(preference.pair_id, pair)


def _load_reference(run: DpoRun, mesh: Mesh) -> Model:
    model = run.config.model
    return load_model(
        run.reference, mesh, step=model.step, compute_dtype=model.compute_dtype
    )


def _tokenizer(run: DpoRun) -> Tokenizer:
    return load_tokenizer(open_folder(run.folder).tokenizer_dir)


def _scorer(config: DpoConfig, mesh: Mesh) -> PairScorer:
    """Rows and batches of the run's own shape."""
    num_devices = batch_divisor(mesh)
    length = row_tokens(
        config.rows,
        config.tokens,
        num_completions=2,
        items_a_device=config.batch_size / num_devices,
    )
    layout = build_layout(config.rows, length=length, num_devices=num_devices)
    return PairScorer(mesh=mesh, layout=layout, batch_size=config.batch_size)
