"""`reward`: a Bradley-Terry reward model on preference shards."""

from dataclasses import replace
from pathlib import Path

from jax.sharding import Mesh

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.policy import load_policy, open_devices
from rlaif_jax.commands.rows import run_rows
from rlaif_jax.commands.training import (
    open_session,
    router_weight,
    run_training,
    show_training,
)
from rlaif_jax.config_training import RewardConfig
from rlaif_jax.data.held_out import LaterShards
from rlaif_jax.data.order import Source
from rlaif_jax.data.tokenizer import Tokenizer
from rlaif_jax.evaluation.calibration import Calibration, calibration
from rlaif_jax.files import write_json
from rlaif_jax.inspection.runs import load_model
from rlaif_jax.inspection.scorer import PairScorer
from rlaif_jax.models.reward import reward_model
from rlaif_jax.records import Preference
from rlaif_jax.runtime import distributed
from rlaif_jax.training.dpo import PairEncoder, encode_preference
from rlaif_jax.training.reward import RewardObjective, train_reward
from rlaif_jax.training.streaming import preference_source
from rlaif_jax.typing import Json


def run(config: RewardConfig, out: Path, console: Console) -> Json:
    """Trains on all but the first shards, and tells how well it knows those."""
    with open_devices(config.mesh, debug=config.debug) as mesh:
        source = preference_source(config.preferences, wait_s=config.wait_s)
        training = LaterShards(source, skipped=config.held_out_shards)
        rows = run_rows(config, mesh, num_completions=2)
        policy = load_policy(
            config.model, mesh, rows=rows.needs, num_tokens=rows.length
        )
        to_pair = PairEncoder(policy.tokenizer, config.tokens)
        model = reward_model(policy.config, policy.params)
        policy = replace(policy, config=model.config, params=model.params)
        objective = RewardObjective(
            model.config, router_weight=router_weight(config, model.config)
        )
        result = run_training(
            config,
            policy,
            open_session(out, mesh, console, "reward"),
            lambda start, plan, session: train_reward(
                start,
                training,
                to_rows=lambda records: rows.layout([to_pair(one) for one in records]),
                objective=objective,
                plan=plan,
                session=session,
            ),
            inputs="",  # as for dpo
        )
        found = _evaluated(config, out, mesh, source, policy.tokenizer)
        if distributed.is_main():
            write_json(out / "calibration.json", found.model_dump())
        return result | {"held_out": found.model_dump(exclude={"bins"})}


def show(result: Json, out: Path) -> None:
    """Prints where the run ended, and how it does on what it has not seen."""
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
    source: Source[Preference],
    tokenizer: Tokenizer,
) -> Calibration:
    """The finished model on the shards that were held out."""
    pairs = [
        encode_preference(tokenizer, preference, config.tokens)
        for shard in range(config.held_out_shards)
        for preference in source.rows(shard)
    ]
    layout = run_rows(config, mesh, num_completions=2).layout
    scorer = PairScorer(mesh=mesh, layout=layout, batch_size=config.batch_size)
    model = load_model(out, mesh, compute_dtype=config.model.compute_dtype)
    rewards = scorer.rewards(model, pairs)
    return calibration((rewards[:, 0] - rewards[:, 1]).tolist())
