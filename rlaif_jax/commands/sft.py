"""`sft`: supervised fine-tuning on completions."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.inputs import is_usable, read_completions, read_prompts
from rlaif_jax.commands.policy import load_policy, open_devices
from rlaif_jax.commands.rows import run_rows
from rlaif_jax.commands.sweep import run_sweep, show_sweep
from rlaif_jax.commands.training import (
    open_session,
    router_weight,
    run_training,
    show_training,
    trained_config,
)
from rlaif_jax.config_training import SftConfig
from rlaif_jax.data.held_out import prompt_key
from rlaif_jax.data.packing import Example
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.data.tokenizer import Tokenizer
from rlaif_jax.errors import UsageError
from rlaif_jax.records import Prompt, content_hash
from rlaif_jax.training.plan import ValidationSet
from rlaif_jax.training.sft import (
    ENCODERS,
    ExampleEncoder,
    PaperExampleEncoder,
    sft_objective,
    train_sft,
)
from rlaif_jax.typing import Json


def run(config: SftConfig, out: Path, console: Console) -> Json:
    """Trains on every usable completion of the chosen prompts."""
    if config.sweep is not None:
        return run_sweep(config, out, console, run)
    with open_devices(config.mesh, debug=config.debug, pod=config.pod) as mesh:
        rows = run_rows(config, mesh, num_completions=1)
        policy = load_policy(
            config.model,
            mesh,
            rows=rows.needs,
            num_tokens=rows.length,
            is_bfloat16=config.optimizer.weights == "bfloat16" and not config.lora,
        )
        objective = sft_objective(
            trained_config(config.lora, policy),
            config.loss,
            router_weight=router_weight(config, policy.config),
        )
        read = _read(config, policy.tokenizer)
        console.say(f"{len(read.examples)} examples ({_told(read.counts)})")
        validation = None
        if config.validation is not None:
            console.say(f"{len(read.held_out)} examples for validation")
            validation = ValidationSet(
                records=read.held_out,
                loss_fn=sft_objective(trained_config(config.lora, policy), config.loss),
                config=config.validation,
                select=config.validation.select,
                data={"splits": list(config.validation.splits)},
            )
        source = MemorySource(read.examples, fingerprint=_fingerprint(read.examples))
        result = run_training(
            config,
            policy,
            open_session(out, mesh, console, "sft"),
            lambda start, plan, session: train_sft(
                start,
                source,
                objective=objective,
                layout=rows.layout,
                plan=replace(plan, validation=validation),
                session=session,
            ),
            inputs=_fingerprint(read.examples + read.held_out),
            adapters=config.lora,
        )
        told = {"examples": len(read.examples), "data": dict(read.counts)}
        if validation is not None:
            told["validation"] = {"examples": len(read.held_out)}
        return result | told


def show(result: Json, out: Path) -> None:
    """Prints where the run ended."""
    show_sweep(result, out)
    show_training(result)


class _Read(NamedTuple):
    """What a run trains on, and what it is evaluated on."""

    examples: list[Example]
    held_out: list[Example]
    counts: Counter[str]  # of the examples, for the log


def _read(config: SftConfig, tokenizer: Tokenizer) -> _Read:
    """The examples of the chosen prompts, and those of the prompts held out.

    A prompt that is held out is not trained on, even if it is in another split too.
    """
    encoder = ENCODERS[config.tokens.compat](tokenizer, config.tokens)
    held_out: list[Example] = []
    seen: set[str] = set()
    if config.validation is not None:
        held_out, prompts = _examples(config, config.validation.splits, encoder)
        seen = {prompt_key(prompt.messages) for prompt in prompts}
        encoder.counts.clear()
    examples, _ = _examples(config, config.splits, encoder, seen=seen)
    return _Read(examples, held_out, encoder.counts)


def _examples(
    config: SftConfig,
    splits: Sequence[str],
    encoder: ExampleEncoder | PaperExampleEncoder,
    *,
    seen: Collection[str] = (),
) -> tuple[list[Example], list[Prompt]]:
    """Every completion of every prompt of some splits as ids, and the prompts.

    Refusals, failures and blank texts are left out and counted: they would teach the
    model to say nothing. So are prompts that were seen elsewhere.
    """
    prompts = read_prompts(config.prompts, splits)
    completions = read_completions(config.completions)
    examples: list[Example] = []
    for prompt in prompts:
        if prompt_key(prompt.messages) in seen:
            encoder.counts["prompts_held_out"] += 1
            continue
        for completion in completions.get(prompt.prompt_id, ()):
            if is_usable(completion):
                examples.append(encoder.encode(prompt, completion))
            else:
                encoder.counts["unusable"] += 1
    if not examples:
        raise UsageError(
            f"{config.completions} has no usable completion of the {len(prompts)}"
            f" prompts of {config.prompts}{_named(splits)}: did they come from the same"
            " prompts?"
        )
    return examples, prompts


def _fingerprint(examples: Sequence[Example]) -> str:
    """A hash of examples in their order."""
    return content_hash([[list(e.prompt), list(e.completion)] for e in examples])


def _named(splits: Sequence[str]) -> str:
    return f" in {', '.join(splits)}" if splits else ""


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
