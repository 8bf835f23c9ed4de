"""`reward`: a Bradley-Terry reward model on preference shards."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jax.sharding import Mesh

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.policy import load_policy, open_devices
from rlaif_jax.commands.rows import run_rows
from rlaif_jax.commands.sweep import run_sweep, show_sweep
from rlaif_jax.commands.training import (
    open_session,
    router_weight,
    run_training,
    show_training,
)
from rlaif_jax.config_training import RewardConfig
from rlaif_jax.data.tokenizer import Tokenizer
from rlaif_jax.evaluation.calibration import Calibration, calibration
from rlaif_jax.files import write_json
from rlaif_jax.inspection.runs import load_model
from rlaif_jax.inspection.scorer import PairScorer
from rlaif_jax.models.reward import reward_model
from rlaif_jax.records import Preference
from rlaif_jax.runtime import distributed
from rlaif_jax.training.held_out import hold_out
from rlaif_jax.training.pairs import PairEncoder, PairRows, encode_preference
from rlaif_jax.training.reward import RewardObjective, train_reward
from rlaif_jax.training.streaming import preference_source
from rlaif_jax.typing import Json


def run(config: RewardConfig, out: Path, console: Console) -> Json:
    """Trains on all but what is held out, and tells how well it knows that."""
    if config.sweep is not None:
        return run_sweep(config, out, console, run)
    with open_devices(config.mesh, debug=config.debug, pod=config.pod) as mesh:
        source = preference_source(config.preferences, wait_s=config.wait_s)
        held_out = hold_out(config.validation, config.preferences, source)
        assert held_out is not None  # the config always holds out
        console.say(held_out.told)
        rows = run_rows(config, mesh, num_completions=2)
        policy = load_policy(
            config.model,
            mesh,
            rows=rows.needs,
            num_tokens=rows.length,
            is_bfloat16=config.optimizer.weights == "bfloat16",
        )
        to_pair = PairEncoder(policy.tokenizer, config.tokens)
        model = reward_model(policy.config, policy.params)
        policy = replace(policy, config=model.config, params=model.params)
        objective = RewardObjective(
            model.config, router_weight=router_weight(config, model.config)
        )
        validation = held_out.validation(replace(objective, router_weight=0.0))
        result = run_training(
            config,
            policy,
            open_session(out, mesh, console, "reward"),
            lambda start, plan, session: train_reward(
                start,
                held_out.training,
                encoding=PairRows(to_pair=to_pair, layout=rows.layout),
                objective=objective,
                plan=replace(plan, validation=validation),
                session=session,
            ),
            inputs=held_out.fingerprint,
        )
        found = _evaluated(config, out, mesh, held_out.records, policy.tokenizer)
        if distributed.is_main():
            write_json(out / "calibration.json", found.model_dump())
        told = {"held_out": found.model_dump(exclude={"bins"})}
        return result | told | {"validation": held_out.to_json()}


def show(result: Json, out: Path) -> None:
    """Prints where the run ended, and how it does on what it has not seen."""
    show_sweep(result, out)
    show_training(result)
    found = result["held_out"]
    print(
        f"{found['pairs']} held-out pairs: accuracy {found['accuracy']:.3f},"
        f" loss {found['loss']:.4f}, calibration error {found['ece']:.3f}"
        f" ({out / 'calibration.json'})"
    )


def _evaluated(
    config: RewardConfig,
    out: Path,
    mesh: Mesh,
    records: Sequence[Preference],
    tokenizer: Tokenizer,
) -> Calibration:
    """The finished model on what was held out."""
    pairs = [encode_preference(tokenizer, one, config.tokens) for one in records]
    layout = run_rows(config, mesh, num_completions=2).layout
    scorer = PairScorer(mesh=mesh, layout=layout, batch_size=config.batch_size)
    model = load_model(out, mesh, compute_dtype=config.model.compute_dtype)
    rewards = scorer.rewards(model, pairs)
    return calibration((rewards[:, 0] - rewards[:, 1]).tolist())
