"""A few prompts put to every model of a study, to learn how long its answers are.

What teachers write of them is part of the study: it goes into the ledgers of its
stages, and is not paid for again if they use it. Teachers are asked once more for a
second text of each, and critics and the evaluator to compare the two; that is paid
for on top.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rlaif_jax.commands.answering import labels_of, texts_of
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.estimating import judging_estimate, writing_estimate
from rlaif_jax.commands.expecting import (
    endpoints_of,
    roles_of,
    teacher_role,
)
from rlaif_jax.commands.inputs import read_prompts
from rlaif_jax.commands.judging import LEDGER, open_judge, open_writer
from rlaif_jax.commands.outputs import completions_of
from rlaif_jax.commands.reuse import begin_writing_with_answers
from rlaif_jax.commands.seen import Seen, seat_of
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config_endpoints import CriticConfig, EndpointConfig
from rlaif_jax.data.splits import first_ranks
from rlaif_jax.files import lock_file, read_json, write_json
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.ledger import parse_record
from rlaif_jax.labeling.teacher import draws
from rlaif_jax.records import Comparison, Completion, Prompt, content_hash
from rlaif_jax.run_folder import essence
from rlaif_jax.study.bill import Role, Spend, Stage
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.stage import Stage as GraphStage
from rlaif_jax.typing import Json

_FILE = "pilot.json"
_SEEDS = 2**31
_PAID: dict[str, Role] = {  # whom a folder of a pilot's answers is of
    "first": "teacher",
    "teachers": "teacher",
    "critics": "critic",
    "evaluator": "evaluator",
}


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
    wanted = content_hash("by rank", config.forecast.pilot, essence(asked))
    if path.is_file() and (found := read_json(path, "pilot"))["asked"] == wanted:
        return found
    console.say(f"asking every model about {config.forecast.pilot} prompts")
    pilot = asyncio.run(_ask(config, arms, stages, out / "pilot"))
    before = _paid_before(path)
    for name, texts in pilot["paid"].items():
        pilot["paid"][name] = before.pop(name, {}) | texts
    pilot["paid"] |= before
    write_json(path, pilot | {"asked": wanted})
    return pilot


def pilot_bill(
    config: StudyConfig, arms: Sequence[ArmStages], stages: Stages
) -> list[Stage]:
    """What pilots have cost on top of the study; nothing if there was none.

    All that was asked in their own folder, by its ledgers, and of what teachers wrote
    for the study's stages what these did not take over.
    """
    folder = stages.root.parent / "pilot"
    if not folder.is_dir():
        return []
    extra: dict[Role, Spend] = {"teacher": Spend(), "critic": Spend()}
    extra["evaluator"] = Spend()
    for path in sorted(folder.rglob(LEDGER)):
        part = path.relative_to(folder).parts[0].partition(".")[0]
        extra[_PAID[part]] += _billed(path)
    for name, texts in _paid_before(folder / _FILE).items():
        own = _own_stage(name, config, arms)
        used = completions_of(stages, own) if own is not None else {}
        unused = (Spend(**one) for key, one in texts.items() if key not in used)
        extra["teacher"] = sum(unused, extra["teacher"])
    return [Stage(stage_id="pilot", kind="pilot", arms=(), spend=extra)]


def _billed(path: Path) -> Spend:
    """What a ledger tells of calls and their price."""
    records = [r for r in map(parse_record, path.read_bytes().splitlines(True)) if r]
    results = [one for one in records if one["kind"] == "result"]
    return Spend(
        calls=len(records) - len(results),
        prompt_tokens=sum(one["usage"]["prompt_tokens"] for one in results),
        completion_tokens=sum(one["usage"]["completion_tokens"] for one in results),
        cost_usd=sum(one["cost_usd"] for one in results),
    )


def _paid_before(path: Path) -> dict[str, dict[str, Json]]:
    """What pilots paid for in the study's stages, by teacher and prompt."""
    if not path.is_file():
        return {}
    return read_json(path, "pilot").get("paid", {})  # an older pilot did not tell


@dataclass(frozen=True)
class _Written:
    """Two texts of each prompt, by one teacher."""

    prompts: list[Prompt]
    once: list[Completion]
    twice: list[Completion]

    def pairs(self) -> list[Comparison]:
        """Those that differ; equal texts are judged by nobody."""
        return [
            Comparison.create(prompt, a, b)
            for prompt, a, b in zip(self.prompts, self.once, self.twice, strict=True)
            if a.text != b.text
        ]


async def _ask(
    config: StudyConfig, arms: Sequence[ArmStages], stages: Stages, out: Path
) -> Json:
    """The answers: sums by role, and the texts of every teacher."""
    used = {*roles_of(config, arms).values()}
    in_use = {stage.folder for arm in arms for stage in arm.all()}
    written: dict[str, _Written] = {}
    seen: dict[str, Json] = {}
    for name, teacher in config.teachers.items():
        if teacher_role(name) not in used or not isinstance(teacher, EndpointConfig):
            continue
        seed = arms[0].seed
        own = _own_stage(name, config, arms)
        folder = out / f"first.{name}" if own is None else stages.folder(own)
        asked = _asked(config, arms, stages, own)
        again = int(content_hash("pilot", seed), 16) % _SEEDS
        folder.mkdir(parents=True, exist_ok=True)
        with lock_file(folder / ".lock"):  # which the stage itself holds, too
            if own is not None:
                begin_writing_with_answers(teacher, asked, seed, folder, in_use)
            once = await _write(teacher, name, asked, seed, folder)
        twice = await _write(teacher, name, asked, again, out / f"teachers.{name}")
        expected = writing_estimate(
            teacher, draws(asked, 1), seed=seed, budget_usd=None
        )
        seen[teacher_role(name)] = asdict(_seen(once, expected.prompt_tokens))
        written[name] = _Written(asked, once, twice)
    last = list(written.values())[-1:]
    pairs = [pair for one in last for pair in one.pairs()]
    return {
        "prompts": max((len(one.prompts) for one in written.values()), default=0),
        "seen": seen | await _judge_roles(config, used, pairs, out),
        "first": {n: {t.prompt_id: t.text for t in w.once} for n, w in written.items()},
        "second": {
            n: {t.prompt_id: t.text for t in w.twice} for n, w in written.items()
        },
        "paid": {
            n: {t.prompt_id: _spent(t).model_dump() for t in w.once}
            for n, w in written.items()
            if _own_stage(n, config, arms) is not None
        },
    }


async def _judge_roles(
    config: StudyConfig, used: Collection[str], pairs: list[Comparison], out: Path
) -> dict[str, Json]:
    """What critics and evaluators took to judge the pairs, by role."""
    seen: dict[str, Json] = {}
    for role in sorted({*used} - {teacher_role(name) for name in config.teachers}):
        judged = Seen()
        for number, critic in enumerate(endpoints_of(config, role) if pairs else []):
            assert isinstance(critic, CriticConfig)  # teachers were left out
            one = await _judge(critic, pairs, out / role / str(number))
            judged += one
            if one.calls:
                seen[seat_of(role, number)] = asdict(one)
        if judged.calls:
            seen[role] = asdict(judged)
    return seen


def _own_stage(
    name: str, config: StudyConfig, arms: Sequence[ArmStages]
) -> GraphStage | None:
    """The study's own stage of a teacher, in the first seed; None: the baseline's."""
    for arm in arms:
        if config.arms[arm.arm].teacher == name and arm.teacher is not None:
            return arm.teacher
    return None


def _asked(
    config: StudyConfig,
    arms: Sequence[ArmStages],
    stages: Stages,
    own: GraphStage | None,
) -> list[Prompt]:
    """Prompts to ask a teacher about: of its own splits, else of the first teacher's.

    Of every split the same share and its best ranks, as a budget keeps them.
    """
    written = own or next((arm.teacher for arm in arms if arm.teacher), None)
    written = written or arms[0].baseline
    source = written.document["prompts"].removeprefix("stage:").partition("/")[0]
    drawn = next(s for arm in arms for s in arm.all() if s.digest == source)
    prompts = read_prompts(
        stages.folder(drawn) / "prompts.jsonl", written.document["splits"]
    )
    return first_ranks(prompts, config.forecast.pilot, seed=drawn.document["seed"])


async def _write(
    teacher: EndpointConfig, name: str, asked: list[Prompt], seed: int, folder: Path
) -> list[Completion]:
    """A text of every prompt."""
    async with open_writer(
        teacher, generator=name, seed=seed, out=folder, budget_usd=None
    ) as writer:
        accounts = Accounts(total=len(asked))
        return await texts_of(writer, draws(asked, 1), accounts=accounts)


async def _judge(critic: CriticConfig, pairs: list[Comparison], folder: Path) -> Seen:
    """What judging the pairs took."""
    accounts = Accounts(total=len(pairs))
    async with open_judge(critic, orders="both", out=folder, budget_usd=None) as judge:
        await labels_of(judge, pairs, accounts=accounts)
    expected = judging_estimate(critic, pairs, orders="both", budget_usd=None)
    return Seen(
        calls=accounts.calls,
        prompt_tokens=accounts.prompt_tokens,
        expected_prompt_tokens=expected.prompt_tokens,
        completion_tokens=accounts.completion_tokens,
    )


def _spent(text: Completion) -> Spend:
    """What a text has cost."""
    return Spend(calls=1, cost_usd=text.cost_usd, **text.usage.model_dump())


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
