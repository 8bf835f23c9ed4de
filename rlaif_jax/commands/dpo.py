"""`dpo`: preference training on shards, finished or still growing."""

from dataclasses import replace
from pathlib import Path

from rlaif_jax.commands.console import Console
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
from rlaif_jax.config_training import DpoConfig
from rlaif_jax.training.dpo import DpoObjective, PairEncoding, train_dpo
from rlaif_jax.training.held_out import hold_out
from rlaif_jax.training.pairs import PairEncoder
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.streaming import preference_source
from rlaif_jax.typing import Json


def run(config: DpoConfig, out: Path, console: Console) -> Json:
    """Trains on every pair, waiting for shards that are not sealed yet."""
    if config.sweep is not None:
        return run_sweep(config, out, console, run)
    with open_devices(config.mesh, debug=config.debug, pod=config.pod) as mesh:
        source = preference_source(config.preferences, wait_s=config.wait_s)
        held_out = hold_out(config.validation, config.preferences, source)
        if held_out is not None:
            console.say(held_out.told)
        rows = run_rows(config, mesh, num_completions=2)
        policy = load_policy(
            config.model,
            mesh,
            rows=rows.needs,
            num_tokens=rows.length,
            is_bfloat16=config.optimizer.weights == "bfloat16" and not config.lora,
        )
        encoding = PairEncoding(
            to_pair=PairEncoder(policy.tokenizer, config.tokens),
            layout=rows.layout,
            reference_dir=config.reference_cache or config.preferences / "reference",
        )
        objective = DpoObjective(
            trained_config(config.lora, policy),
            PreferenceLoss(config.loss),
            router_weight=router_weight(config, policy.config),
        )
        validation = held_out and held_out.validation(
            replace(objective, router_weight=0.0)
        )
        result = run_training(
            config,
            policy,
            open_session(out, mesh, console, "dpo"),
            lambda start, plan, session: train_dpo(
                start,
                held_out.training if held_out else source,
                encoding=encoding,
                objective=objective,
                plan=replace(plan, validation=validation),
                session=session,
            ),
            # a growing folder has no hash; the data position holds one
            inputs=held_out.fingerprint if held_out else "",
            adapters=config.lora,
        )
        return result | ({"validation": held_out.to_json()} if held_out else {})


def show(result: Json, out: Path) -> None:
    """Prints where the run ended."""
    show_sweep(result, out)
    show_training(result)
