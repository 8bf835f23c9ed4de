"""`dpo`: preference training on shards, finished or still growing."""

from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.policy import load_policy, open_devices
from rlaif_jax.commands.rows import run_rows
from rlaif_jax.commands.training import (
    open_session,
    router_weight,
    run_training,
    show_training,
    trained_config,
)
from rlaif_jax.config_training import DpoConfig
from rlaif_jax.training.dpo import (
    DpoObjective,
    PairEncoder,
    PairEncoding,
    train_dpo,
)
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.streaming import preference_source
from rlaif_jax.typing import Json


def run(config: DpoConfig, out: Path, console: Console) -> Json:
    """Trains on every pair, waiting for shards that are not sealed yet."""
    with open_devices(config.mesh, debug=config.debug) as mesh:
        source = preference_source(config.preferences, wait_s=config.wait_s)
        rows = run_rows(config, mesh, num_completions=2)
        policy = load_policy(
            config.model, mesh, rows=rows.needs, num_tokens=rows.length
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
        return run_training(
            config,
            policy,
            open_session(out, mesh, console, "dpo"),
            lambda start, plan, session: train_dpo(
                start,
                source,
                encoding=encoding,
                objective=objective,
                plan=plan,
                session=session,
            ),
            inputs="",  # a growing folder has no hash; the data position holds one
            adapters=config.lora,
        )


def show(result: Json, out: Path) -> None:
    """Prints where the run ended."""
    del out
    show_training(result)
