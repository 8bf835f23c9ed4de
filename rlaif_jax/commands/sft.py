"""`sft`: supervised fine-tuning on completions."""

from collections import Counter
from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.inputs import is_usable, read_completions, read_prompts
from rlaif_jax.commands.policy import load_policy, open_devices
from rlaif_jax.commands.rows import run_rows
from rlaif_jax.commands.training import (
    open_session,
    router_weight,
    run_training,
    show_training,
    trained_config,
)
from rlaif_jax.config_training import SftConfig
from rlaif_jax.data.packing import Example
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.data.tokenizer import Tokenizer
from rlaif_jax.errors import UsageError
from rlaif_jax.records import content_hash
from rlaif_jax.training.sft import ExampleEncoder, sft_objective, train_sft
from rlaif_jax.typing import Json


def run(config: SftConfig, out: Path, console: Console) -> Json:
    """Trains on every usable completion of the chosen prompts."""
    with open_devices(config.mesh, debug=config.debug) as mesh:
        rows = run_rows(config, mesh, num_completions=1)
        policy = load_policy(
            config.model, mesh, rows=rows.needs, num_tokens=rows.length
        )
        objective = sft_objective(
            trained_config(config.lora, policy),
            config.loss,
            router_weight=router_weight(config, policy.config),
        )
        examples, counts = _examples(config, policy.tokenizer)
        console.say(f"{len(examples)} examples ({_told(counts)})")
        fingerprint = content_hash(
            [[list(e.prompt), list(e.completion)] for e in examples]
        )
        source = MemorySource(examples, fingerprint=fingerprint)
        result = run_training(
            config,
            policy,
            open_session(out, mesh, console, "sft"),
            lambda start, plan, session: train_sft(
                start,
                source,
                objective=objective,
                layout=rows.layout,
                plan=plan,
                session=session,
            ),
            inputs=fingerprint,
            adapters=config.lora,
        )
        return result | {"examples": len(examples), "data": dict(counts)}


def show(result: Json, out: Path) -> None:
    """Prints where the run ended."""
    del out
    show_training(result)


def _examples(
    config: SftConfig, tokenizer: Tokenizer
) -> tuple[list[Example], Counter[str]]:
    """Every completion of every chosen prompt as ids, and counts for the log.

    Refusals, failures and blank texts are left out and counted: they would teach the
    model to say nothing.
    """
    prompts = read_prompts(config.prompts, config.splits)
    completions = read_completions(config.completions)
    encoder = ExampleEncoder(tokenizer, config.tokens)
    num_unusable = 0
    examples: list[Example] = []
    for prompt in prompts:
        for completion in completions.get(prompt.prompt_id, ()):
            if is_usable(completion):
                examples.append(encoder.encode(prompt, completion))
            else:
                num_unusable += 1
    counts = encoder.counts + Counter(unusable=num_unusable)
    if not examples:
        raise UsageError(
            f"{config.completions} has no usable completion of the {len(prompts)}"
            f" prompts of {config.prompts}: did they come from the same prompts?"
        )
    return examples, counts


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
