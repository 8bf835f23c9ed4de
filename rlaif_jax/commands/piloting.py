"""A few prompts put to every model of a study, to learn how long its answers are.

What teachers write of them is part of the study: it goes into the ledgers of its
stages, and is not paid for again. Teachers are asked once more for a second text of
each, and critics and the evaluator to compare the two; that is paid for on top.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.estimating import judging_estimate, writing_estimate
from rlaif_jax.commands.expecting import (
    EVALUATOR,
    Seen,
    endpoints_of,
    roles_of,
    teacher_role,
)
from rlaif_jax.commands.inputs import read_prompts
from rlaif_jax.commands.judging import open_judge, open_writer
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config_parts import CriticConfig, EndpointConfig
from rlaif_jax.files import read_json, write_json
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.pipeline import complete_all, label_all
from rlaif_jax.labeling.teacher import draws
from rlaif_jax.records import Comparison, Completion, Prompt, content_hash
from rlaif_jax.run_folder import essence
from rlaif_jax.study.bill import Spend, Stage
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.typing import Json

_FILE = "pilot.json"
_SEEDS = 2**31


def run_pilot(
    config: StudyConfig,
    arms: Sequence[ArmStages],
    stages: Stages,
    out: Path,
    console: Console,
) -> Json | None:
    """What the models answered, asked now or before; None if no pilot is wanted."""
    if not config.forecast.pilot:
        return None
    path = out / "pilot" / _FILE
    asked = config.model_dump(
        mode="json", include={"prompts", "teachers", "critics", "evaluation", "seeds"}
    )
    wanted = content_hash(config.forecast.pilot, essence(asked))
    if path.is_file() and (found := read_json(path, "pilot"))["asked"] == wanted:
        return found
    console.say(f"asking every model about {config.forecast.pilot} prompts")
    pilot = asyncio.run(_ask(config, arms, stages, out / "pilot"))
    write_json(path, pilot | {"asked": wanted})
    return pilot


def pilot_bill(stages: Stages) -> list[Stage]:
    """What a pilot has cost on top of the study; nothing if there was none."""
    path = stages.root.parent / "pilot" / _FILE
    if not path.is_file():
        return []
    extra = read_json(path, "pilot")["extra"]
    return [Stage(stage_id="pilot", kind="pilot", arms=(), spend=extra)]


async def _ask(
    config: StudyConfig, arms: Sequence[ArmStages], stages: Stages, out: Path
) -> Json:
    """The answers: sums by role, and the texts of every teacher."""
    written = next((arm.teacher for arm in arms if arm.teacher), arms[0].baseline)
    source = stages.folder(arms[0].prompts) / "prompts.jsonl"
    asked = read_prompts(source, written.document["splits"])[: config.forecast.pilot]
    used = {*roles_of(config, arms).values()}
    seen: dict[str, Json] = {}
    first: dict[str, list[str]] = {}
    second: dict[str, list[str]] = {}
    extra = {"teacher": Spend(), "critic": Spend(), "evaluator": Spend()}
    last: tuple[list[Completion], list[Completion]] = ([], [])
    for name, teacher in config.teachers.items():
        if teacher_role(name) not in used or not isinstance(teacher, EndpointConfig):
            continue
        seed = arms[0].seed
        own = _own_folder(name, config, arms, stages, out)
        again = int(content_hash("pilot", seed), 16) % _SEEDS
        once = await _write(teacher, name, asked, seed, own)
        twice = await _write(teacher, name, asked, again, out / f"teachers.{name}")
        expected = writing_estimate(
            teacher, draws(asked, 1), seed=seed, budget_usd=None
        )
        seen[teacher_role(name)] = asdict(_seen(once, expected.prompt_tokens))
        first[name] = [one.text for one in once]
        second[name] = [one.text for one in twice]
        extra["teacher"] += _spent(twice)
        last = (once, twice)
    pairs = [
        Comparison.create(prompt, a, b)
        for prompt, a, b in zip(asked, *last, strict=True)
        if a.text != b.text
    ]
    for role in sorted(used - {teacher_role(name) for name in config.teachers}):
        kind = "evaluator" if role == EVALUATOR else "critic"
        judged = Seen()
        for number, critic in enumerate(endpoints_of(config, role) if pairs else []):
            assert isinstance(critic, CriticConfig)  # teachers were left out
            one, spend = await _judge(critic, pairs, out / role / str(number))
            judged += one
            extra[kind] += spend
        if judged.calls:
            seen[role] = asdict(judged)
    told = {"prompts": len(asked), "seen": seen, "first": first, "second": second}
    return told | {"extra": {role: one.model_dump() for role, one in extra.items()}}


def _own_folder(
    name: str,
    config: StudyConfig,
    arms: Sequence[ArmStages],
    stages: Stages,
    out: Path,
) -> Path:
    """The folder of the study's own stage of a teacher, in the first seed."""
    for arm in arms:
        if config.arms[arm.arm].teacher == name and arm.teacher is not None:
            return stages.folder(arm.teacher)
    return out / f"first.{name}"  # it writes the baseline alone


async def _write(
    teacher: EndpointConfig, name: str, asked: list[Prompt], seed: int, folder: Path
) -> list[Completion]:
    """A text of every prompt."""
    async with open_writer(
        teacher, generator=name, seed=seed, out=folder, budget_usd=None
    ) as writer:
        run = complete_all(
            draws(asked, 1),
            teacher=writer.teacher,
            workers=writer.workers,
            stop=writer.stop,
            accounts=Accounts(total=len(asked)),
        )
        async with aclosing(run):
            return [one async for one in run]


async def _judge(
    critic: CriticConfig, pairs: list[Comparison], folder: Path
) -> tuple[Seen, Spend]:
    """What judging the pairs took."""
    accounts = Accounts(total=len(pairs))
    async with open_judge(critic, orders="both", out=folder, budget_usd=None) as judge:
        for outcome in await judge.probed():
            accounts.add_probe(outcome)
        run = label_all(
            pairs,
            critic=judge.critic,
            workers=judge.workers,
            stop=judge.stop,
            accounts=accounts,
        )
        async with aclosing(run):
            async for _ in run:
                pass
    expected = judging_estimate(critic, pairs, orders="both", budget_usd=None)
    seen = Seen(
        calls=accounts.calls,
        prompt_tokens=accounts.prompt_tokens,
        expected_prompt_tokens=expected.prompt_tokens,
        completion_tokens=accounts.completion_tokens,
    )
    return seen, Spend(**accounts.spent())


def _spent(written: list[Completion]) -> Spend:
    """What texts have cost that the study itself does not need."""
    return Spend(
        calls=len(written),
        prompt_tokens=sum(one.usage.prompt_tokens for one in written),
        completion_tokens=sum(one.usage.completion_tokens for one in written),
        cost_usd=sum(one.cost_usd for one in written),
    )


def _seen(written: list[Completion], expected_prompt_tokens: int) -> Seen:
    """What was written, in sums."""
    return Seen(
        calls=len(written),
        prompt_tokens=sum(one.usage.prompt_tokens for one in written),
        expected_prompt_tokens=expected_prompt_tokens,
        completion_tokens=sum(one.usage.completion_tokens for one in written),
        texts=len(written),
        text_bytes=sum(len(one.text.encode()) for one in written),
    )
