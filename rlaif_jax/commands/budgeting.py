"""How much of a study each arm may use, where arms use dollars or FLOPs alike."""

from collections.abc import Collection, Mapping
from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.expecting import Expected, endpoints_of, roles_of
from rlaif_jax.commands.forecasting import expect
from rlaif_jax.commands.operations import Operations
from rlaif_jax.commands.shares import held_out, needed_prompts
from rlaif_jax.commands.stages import Stages
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.labeling.budget import endpoint_prices
from rlaif_jax.records import content_hash
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import ArmStages, build_graph
from rlaif_jax.study.stage import Stage
from rlaif_jax.study.wording import usd
from rlaif_jax.typing import Json

_DECIDED = "budget.json"  # once, so that a study that is taken up again is the same


def within_budget(
    config: StudyConfig, stages: Stages, out: Path, console: Console
) -> StudyConfig:
    """The study with every arm cut to what the budget buys.

    It is decided before anything but a pilot is paid for, and then kept.

    Raises:
      UsageError: If the budget buys an arm nothing, or cannot be counted.
      RefusedError: If a price is unknown.
    """
    if config.budget.match == "prompts":
        return config
    path = out / _DECIDED
    arms = build_graph(config)
    wanted = _decided_of(config, arms)
    found = read_json(path, "budget") if path.is_file() else {}
    if found.get("of") != wanted:
        first = [arm for arm in arms if arm.seed == config.seeds[0]]
        expected = expect(config, arms, stages, out, console)
        sizes = _SIZES[config.budget.match](config, first, expected)
        for name, size in sizes.items():
            console.say(f"{name}: {size}")
        found = {"of": wanted, "arms": sizes}
        write_json(path, found)
    return _cut(config, found["arms"])


def _decided_of(config: StudyConfig, arms: list[ArmStages]) -> str:
    """A hash of what a budget is about: its amount, what makes the arms, and prices.

    Only of the first seed, which is what is priced. What else changes, such as an
    evaluator, must rename no stage that may have been paid for.
    """
    made: set[str] = set()
    asked: list[tuple[str, str, float, float]] = []
    for arm in arms:
        if arm.seed != config.seeds[0]:
            continue
        judging = {one.digest for one in (arm.sample, arm.evaluate, *arm.direct)}
        judging.add(arm.baseline.digest)
        made |= {stage.digest for stage in arm.all()} - judging
    roles = {
        role
        for digest, role in roles_of(config, arms).items()
        if digest in made and config.budget.match == "usd"
    }
    for role in sorted(roles):
        for endpoint in endpoints_of(config, role):
            prices = endpoint_prices(endpoint, None)
            asked.append((role, endpoint.model, prices.input_usd, prices.output_usd))
    return content_hash(config.budget.model_dump(), sorted(made), asked)


def _cut(config: StudyConfig, sizes: Mapping[str, Json]) -> StudyConfig:
    """The study with the sizes written into its arms."""
    arms = {
        name: arm.model_copy(update=sizes.get(name, {}))
        for name, arm in config.arms.items()
    }
    return config.model_copy(update={"arms": arms})


def _by_usd(
    config: StudyConfig, arms: list[ArmStages], expected: Expected
) -> dict[str, Json]:
    """As many prompts of each split as teacher and critic can be paid for."""
    budget = config.budget.usd
    assert budget is not None  # the config's validator saw to it
    sizes: dict[str, Json] = {}
    for arm in arms:
        if arm.teacher is None:
            continue
        price = making_usd(config, arm, expected)
        if price <= budget:  # all prompts, for less
            continue
        fixed = _held_out_usd(config, arm, expected)
        share = max(0.0, budget - fixed) / (price - fixed)
        splits = config.splits_of(arm.arm)
        prompts = [p.split for p in expected.prompts_in(arm.prompts, splits)]
        sizes[arm.arm] = {"at_most": {s: int(prompts.count(s) * share) for s in splits}}
        if not all(sizes[arm.arm]["at_most"].values()):
            raise UsageError(
                f"budget.usd={budget:g} buys no prompt of a split of {arm.arm!r}, all"
                f" of whose {len(prompts)} prompts are about {usd(price)}: raise it"
            )
    return sizes


def making_usd(config: StudyConfig, arm: ArmStages, expected: Expected) -> float:
    """The expected price of an arm's teacher and critic, shared with nobody."""
    total = expected.spend(arm.label).cost_usd if arm.label is not None else 0.0
    return total + sum(
        _texts_usd(config, arm, stage, expected) for stage in _teachers(arm)
    )


def _held_out_usd(config: StudyConfig, arm: ArmStages, expected: Expected) -> float:
    """The part of it that fewer prompts do not make cheaper."""
    fixed = {*held_out(config)} - {*config.splits_of(arm.arm)}
    return sum(
        _texts_usd(config, arm, stage, expected, splits=fixed)
        for stage in _teachers(arm)
    )


def _teachers(arm: ArmStages) -> list[Stage]:
    """The stages of teachers that make an arm."""
    writers = (s for s in (arm.teacher, *arm.borrowed) if s and s.verb == "complete")
    return list({stage.digest: stage for stage in writers}.values())


def _texts_usd(
    config: StudyConfig,
    arm: ArmStages,
    teacher: Stage,
    expected: Expected,
    *,
    splits: Collection[str] | None = None,
) -> float:
    """The price of what an arm needs of a teacher, of some splits or of all."""
    needed = needed_prompts(
        config, arm, teacher, lambda prompts: expected.prompts_in(prompts, ())
    )
    asked = [
        prompt.prompt_id in needed and (splits is None or prompt.split in splits)
        for prompt in expected.prompts(teacher)
    ]
    return expected.spend(teacher).cost_usd * sum(asked) / len(asked)


def _by_flops(
    config: StudyConfig, arms: list[ArmStages], expected: Expected
) -> dict[str, Json]:
    """As many steps of the last training as are left after the first."""
    budget = config.budget.flops
    assert budget is not None  # the config's validator saw to it
    operations = Operations(config, arms, expected)
    sizes: dict[str, Json] = {}
    for arm in arms:
        last = arm.dpo or arm.sft
        if last is None:
            continue
        one = operations.step_flops(last)
        if one is None:
            raise UsageError(
                f"FLOPs of {arm.arm!r} cannot be counted: its base model is not here"
            )
        before = operations.fixed_flops(arm)
        steps = int((budget - before) / (one * operations.num_rates(last)))
        if steps < 1:
            raise UsageError(
                f"budget.flops={budget:.3g} leaves {arm.arm!r} no step: what comes"
                f" before takes {before:.3g}, and a step {one:.3g}: raise it"
            )
        sizes[arm.arm] = {"max_steps": steps}
    return sizes


_SIZES = {"usd": _by_usd, "device_flops": _by_flops}
