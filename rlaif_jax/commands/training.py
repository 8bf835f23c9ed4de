"""What `sft`, `dpo` and `reward` share: the start model, the session, the result."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from jax.sharding import Mesh

from rlaif_jax.checkpoint.selection import read_selection
from rlaif_jax.checkpoint.weights import Origin
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.policy import Policy
from rlaif_jax.config_parts import LoraConfig
from rlaif_jax.config_training import TrainingConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.models import Lora, TransformerConfig
from rlaif_jax.run_folder import claim
from rlaif_jax.runtime import distributed, watchdog
from rlaif_jax.runtime.device_time import device_seconds, device_time
from rlaif_jax.training.run import Session, StartModel, TrainingPlan, TrainResult
from rlaif_jax.training.trackers import require_trackers
from rlaif_jax.typing import Json

_NOTES = {
    "prepared": "reference {:.0%}",
    "loss": "loss {:.4f}",
    "rewards/margins": "margin {:.3f}",
    "rewards/accuracies": "accuracy {:.2f}",
    "examples_per_second": "{:.1f}/s",
    "mfu": "MFU {:.1%}",
}


def run_training(
    config: TrainingConfig,
    policy: Policy,
    session: Session,
    fit: Callable[[StartModel, TrainingPlan, Session], TrainResult],
    *,
    inputs: str,
    adapters: LoraConfig | None = None,
) -> Json:
    """Claims the folder, trains, and gives the `--json` result.

    Args:
      config: The run's.
      policy: Where it starts.
      session: Where it works.
      fit: The training itself.
      inputs: A hash of the data, so that a resumed run notices another.
      adapters: What is trained in place of the weights, if anything.
    """
    require_trackers(config.trackers)
    session = replace(session, trackers=config.trackers)
    distributed.require_shared(session.out)
    if distributed.is_main():
        claim(session.out, config, inputs=inputs)
    start = StartModel(
        config=trained_config(adapters, policy),
        tokenizer_dir=policy.tokenizer_dir,
        load=lambda: policy.params,
        adapter_seed=adapters.init_seed if adapters else 0,
        origin=policy.origin,
        is_spare=adapters is None,
    )
    plan = TrainingPlan(
        optimizer=config.optimizer,
        batch_size=config.batch_size,
        epochs=config.epochs,
        max_steps=config.max_steps,
        seed=config.seed,
        order=config.order,
        checkpoint=config.checkpoint,
        microbatches=config.microbatches,
        guard=config.guard,
    )
    started = time.monotonic()
    hang_s = config.pod.hang_s
    held = device_time(session.out, session.mesh.size, writes=distributed.is_main())
    with distributed.graceful_stop(), watchdog.armed(hang_s, session.out), held:
        result = fit(start, plan, session)
    seconds = time.monotonic() - started
    selection = read_selection(session.out)
    return (
        asdict(result)
        | ({"selected": selection.to_json()} if selection else {})
        | {
            "attention": policy.config.attention,
            "seconds": seconds,
            "device_seconds": device_seconds(session.out),
        }
    )


def trained_config(adapters: LoraConfig | None, policy: Policy) -> TransformerConfig:
    """The architecture that is trained: the policy's, with adapters if asked for.

    Raises:
      UsageError: If the policy has no such linear map, or random weights.
    """
    if adapters is None:
        return policy.config
    require_folder_for_adapters(policy.origin)
    return adapted(policy.config, adapters)


def require_folder_for_adapters(origin: Origin | None) -> None:
    """Refuses adapters of random weights.

    Args:
      origin: Where the weights are from; None if they are random.

    Raises:
      UsageError: If they are.
    """
    if origin is None:
        raise UsageError(
            "lora trains adapters of weights that a folder holds, and model.preset"
            " makes random ones: give model.path"
        )


def adapted(config: TransformerConfig, adapters: LoraConfig) -> TransformerConfig:
    """The architecture with adapters.

    Raises:
      UsageError: If it has no such linear map.
    """
    try:
        lora = Lora(
            rank=adapters.rank,
            alpha=adapters.alpha,
            targets=adapters.targets or config.linears,
        )
        return config.replace(lora=lora)
    except ValueError as error:
        raise UsageError(f"{error}: choose others as lora.targets") from error


def router_weight(config: TrainingConfig, architecture: TransformerConfig) -> float:
    """The weight of the router's loss.

    Raises:
      UsageError: If it is set for a model without a router.
    """
    if config.router_weight and not architecture.num_experts:
        raise UsageError(
            f"router_weight={config.router_weight:g} is for a mixture of experts, and"
            f" this {architecture.family} has none: leave it out"
        )
    return config.router_weight


def open_session(out: Path, mesh: Mesh, console: Console, name: str) -> Session:
    """A session whose progress is a bar of that name."""

    def progress(step: int, total: int | None, metrics: dict[str, float]) -> None:
        console.update(name, step, total, progress_note(metrics))

    return Session(out=out, mesh=mesh, progress=progress, say=console.say)


def progress_note(metrics: Mapping[str, float]) -> str:
    """What people look at while a run goes on, in one line.

    Args:
      metrics: Of a step, with those of its speed.
    """
    parts = [
        template.format(metrics[name])
        for name, template in _NOTES.items()
        if name in metrics
    ]
    return ", ".join(parts)


def show_training(result: Json) -> None:
    """Prints where the run ended."""
    print(f"step {result['step']}, loss {result['loss']:.4f}")
    print(
        f"{result['examples_per_second']:.1f} examples/s,"
        f" {result['tokens_per_second']:,.0f} tokens/s"
        + ("" if result["mfu"] is None else f", MFU {result['mfu']:.1%}")
    )
    if result["skipped"]:
        print(f"{result['skipped']} steps were skipped (`skipped` in metrics.jsonl)")
    for name, step in result["alarms"].items():
        print(f"alarm at step {step}: {name} (alarms.jsonl tells more)")
    print(f"checkpoint: {result['checkpoint']}")
    if "selected" in result:
        print(f"the model is {result['selected']['told']}")
