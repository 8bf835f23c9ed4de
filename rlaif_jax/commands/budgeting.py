"""How much of a study each arm may use, where arms use dollars or FLOPs alike."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.expecting import Expected, endpoints_of, roles_of
from rlaif_jax.commands.forecasting import expect
from rlaif_jax.commands.operations import Operations
from rlaif_jax.commands.shares import needed_prompts
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
    """As many prompts of each split as teacher and critic can be paid for.

    Borrowed labels are as many as their own arm is left with, so that is cut first.
    """
    budget = config.budget.usd
    assert budget is not None  # the config's validator saw to it
    shares: dict[str, float] = {}
    sizes: dict[str, Json] = {}
    for arm in sorted(arms, key=lambda arm: bool(config.arms[arm.arm].pairs_of)):
        if arm.teacher is None:
            continue
        own = config.arms[arm.arm]
        parts = _parts(config, arm, expected)
        lent = shares[own.pairs_of] if own.pairs_of else 1.0
        share = shares[arm.arm] = _share(parts, budget, lent)
        if share >= 1.0:  # all prompts, for less
            continue
        splits = (*own.sft_splits, *own.aif_splits)
        prompts = [p.split for p in expected.prompts_in(arm.prompts, splits)]
        sizes[arm.arm] = {"at_most": {s: int(prompts.count(s) * share) for s in splits}}
        if not all(sizes[arm.arm]["at_most"].values()):
            raise UsageError(
                f"budget.usd={budget:g} buys no prompt of a split of {arm.arm!r}, all"
                f" of whose {len(prompts)} prompts are about {usd(sum(parts))}"
                + _borrowed(own.pairs_of, lent * (parts.lent + parts.both))
                + ": raise it"
            )
    return sizes


def _borrowed(source: str | None, price: float) -> str:
    """What of an arm's price is that of labels which it cannot have fewer of."""
    if source is None:
        return ""
    return f", {usd(price)} of it for the labels of {source!r} and what they are about"


class _Parts(NamedTuple):
    """What an arm's teacher and critic cost, in US dollars.

    Attributes:
      fixed: Held-out texts, which fewer prompts do not make cheaper.
      lent: Of the arm whose labels it borrows: labels, and texts behind them.
      both: Texts that are its own and behind those labels.
      own: All else.
    """

    fixed: float = 0.0
    lent: float = 0.0
    both: float = 0.0
    own: float = 0.0


def _share(parts: _Parts, budget: float, lent: float) -> float:
    """The share of an arm's own prompts that a budget buys; 1 if it buys all.

    Args:
      parts: The arm's price.
      budget: In US dollars.
      lent: The share that the arm whose labels it borrows has of its prompts.
    """
    left = budget * (1 + 1e-9) - parts.fixed - lent * parts.lent
    whole = parts.own + parts.both
    if left >= whole:
        return 1.0
    if left >= lent * whole:
        return left / whole
    left -= lent * parts.both  # which are there, however few are its own
    if not parts.own:
        return lent if left >= 0 else 0.0
    return max(0.0, left / parts.own)


def making_usd(config: StudyConfig, arm: ArmStages, expected: Expected) -> float:
    """The expected price of an arm's teacher and critic, shared with nobody."""
    return sum(_parts(config, arm, expected))


def _parts(config: StudyConfig, arm: ArmStages, expected: Expected) -> _Parts:
    """The parts of that price."""
    source = config.arms[arm.arm].pairs_of
    prices = dict.fromkeys(_Parts._fields, 0.0)
    if arm.label is not None:
        prices["lent" if source else "own"] += expected.spend(arm.label).cost_usd

    def ids(name: str, drawn: Iterable[Stage]) -> set[str]:
        splits = config.arms[name].written_splits
        found = (p for stage in drawn for p in expected.prompts_in(stage, splits))
        return {prompt.prompt_id for prompt in found}

    for teacher in _teachers(arm):
        needed = needed_prompts(
            config, arm, teacher, lambda prompts: expected.prompts_in(prompts, ())
        )
        own = ids(arm.arm, [arm.prompts]) if teacher == arm.teacher else set[str]()
        lent = set[str]()
        if source is not None and teacher in arm.borrowed:
            lent = ids(source, [s for s in arm.borrowed if s.verb == "prompts"])
        asked = expected.prompts(teacher)
        price = expected.spend(teacher).cost_usd / len(asked)
        for key in (p.prompt_id for p in asked if p.prompt_id in needed):
            prices[_PART[key in own, key in lent]] += price
    return _Parts(**prices)


_PART = {  # of a text that is an arm's own, and behind labels that it borrows
    (False, False): "fixed",
    (False, True): "lent",
    (True, True): "both",
    (True, False): "own",
}


def _teachers(arm: ArmStages) -> list[Stage]:
    """The stages of teachers that make an arm."""
    writers = (s for s in (arm.teacher, *arm.borrowed) if s and s.verb == "complete")
    return list({stage.digest: stage for stage in writers}.values())


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
