"""What the models of a study will be asked: calls, tokens and price, before and after.

Of a stage that is done, what it took. Of one that is not, its questions in full, with
answers as long as they are known or assumed to be.
"""

from collections.abc import Iterator, Sequence

from rlaif_jax.commands.estimating import judging_estimate, writing_estimate
from rlaif_jax.commands.inputs import read_prompts
from rlaif_jax.commands.seen import Answers, Seen, agreement, seat_of
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config_endpoints import (
    CriticConfig,
    EndpointConfig,
    RecordedConfig,
    asked_critics,
)
from rlaif_jax.files import read_records
from rlaif_jax.labeling.budget import endpoint_prices
from rlaif_jax.labeling.estimate import SHARE_OF_MAX_TOKENS
from rlaif_jax.labeling.recorded import read_judgments
from rlaif_jax.labeling.teacher import draws
from rlaif_jax.labeling.tokens import BYTES_PER_TOKEN
from rlaif_jax.records import Comparison, Completion, Prompt, Usage
from rlaif_jax.study.bill import Spend
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.stage import Stage
from rlaif_jax.typing import Json

EVALUATOR = "evaluator"


def teacher_role(name: str) -> str:
    """The role of a teacher; critics have `critics.NAME`."""
    return f"teachers.{name}"


def roles_of(config: StudyConfig, arms: Sequence[ArmStages]) -> dict[str, str]:
    """Who answers in each stage that asks, by the stage's digest."""
    found: dict[str, str] = {}
    for arm in arms:
        found[arm.baseline.digest] = teacher_role(config.baseline)
        for stage in (arm.evaluate, *arm.direct):
            found[stage.digest] = EVALUATOR
        if arm.teacher is not None:
            found[arm.teacher.digest] = teacher_role(config.arms[arm.arm].teacher or "")
        if arm.label is not None:
            judged = config.arms[config.label_arm(arm.arm) or arm.arm]
            found[arm.label.digest] = f"critics.{judged.critic}"
    return found


def endpoints_of(config: StudyConfig, role: str) -> list[EndpointConfig]:
    """The models that are asked in a role: none that is recorded, all of a jury."""
    part, _, name = role.partition(".")
    if part == "teachers":
        teacher = config.teachers[name]
        return [teacher] if isinstance(teacher, EndpointConfig) else []
    if part == "critics":
        return list(asked_critics(config.critics[name]))
    evaluators = (config.evaluation.evaluator, *config.evaluation.evaluators)
    return [one for evaluator in evaluators for one in asked_critics(evaluator)]


class Expected:
    """What every stage asks.

    Attributes:
      answers: Of every role, with its source.
    """

    def __init__(
        self,
        config: StudyConfig,
        arms: Sequence[ArmStages],
        stages: Stages,
        pilot: Json | None,
    ):
        """Looks at what is done, and at the pilot's answers."""
        self._config = config
        self._stages = stages
        self._pilot = pilot
        self._by_digest = {s.digest: s for arm in arms for s in arm.all()}
        self._roles = roles_of(config, arms)
        self._writers = _writers(config, arms)
        self._read: dict[tuple[str, ...], list[Prompt]] = {}
        self.answers = {role: self._answers(role) for role in {*self._roles.values()}}

    def role(self, stage: Stage) -> str | None:
        """Who answers; None of a stage that asks nobody."""
        return self._roles.get(stage.digest)

    def spend(self, stage: Stage) -> Spend:
        """What a stage takes, or took."""
        result = self._stages.result(stage)
        if result is not None:
            return Spend(**{name: result[name] for name in Spend.model_fields})
        asked = 1.0 - self._same(stage)
        role = self._roles[stage.digest]
        parts = (
            self._part(stage, one, asked, known=self._of_seat(role, number))
            for number, one in enumerate(self._endpoints(stage))
        )
        return sum(parts, Spend())

    def prompts(self, stage: Stage) -> list[Prompt]:
        """The prompts that a stage is about."""
        source = self._source(stage.document["prompts"])
        return self.prompts_in(source, stage.document["splits"])

    def prompts_in(self, source: Stage, splits: Sequence[str]) -> list[Prompt]:
        """The prompts of some splits of a stage of `prompts`."""
        if (source.digest, *splits) not in self._read:
            path = self._stages.folder(source) / "prompts.jsonl"
            self._read[source.digest, *splits] = read_prompts(path, splits)
        return self._read[source.digest, *splits]

    def text_bytes(self, stage: Stage) -> float:
        """The mean length of what a stage of `complete` or `sample` writes.

        A student writes as its teacher does, a base model until it is cut.
        """
        teacher = self._writers[stage.digest]
        if teacher is None:
            return BYTES_PER_TOKEN * self._config.tokens.max_completion_tokens
        role = teacher_role(teacher)
        known = self.answers.get(role) or self._answers(role)
        return known.text_bytes

    def _endpoints(self, stage: Stage) -> list[EndpointConfig]:
        return endpoints_of(self._config, self._roles[stage.digest])

    def _part(
        self, stage: Stage, endpoint: EndpointConfig, asked: float, *, known: Answers
    ) -> Spend:
        """What one model takes of a stage."""
        document = stage.document
        if stage.verb == "complete":
            wanted = draws(self.prompts(stage), 1)
            full = writing_estimate(
                endpoint, wanted, seed=document["seed"], budget_usd=None
            )
        else:
            assert isinstance(endpoint, CriticConfig)  # teachers only complete
            full = judging_estimate(
                endpoint,
                list(self._comparisons(stage)),
                orders=document["orders"],
                budget_usd=None,
            )
        calls = round(full.calls * asked)
        tokens = known.completion_tokens
        if known.source == _HALF:  # of each model of a jury its own
            tokens = SHARE_OF_MAX_TOKENS * endpoint.answer_tokens
        usage = Usage(
            prompt_tokens=round(full.prompt_tokens * known.prompt_ratio * asked),
            completion_tokens=round(calls * tokens),
        )
        prices = endpoint_prices(endpoint, None)
        return Spend(calls=calls, cost_usd=prices.cost_usd(usage), **usage.model_dump())

    def _comparisons(self, stage: Stage) -> Iterator[Comparison]:
        """What is compared: texts where they are there, and as many bytes elsewhere."""
        sides = [self._texts(stage, one) for one in _sides(stage)]
        for prompt in self.prompts(stage):
            first, second = (
                Completion.create(
                    prompt.prompt_id, texts[prompt.prompt_id], generator=str(side)
                )
                for side, texts in enumerate(sides)
            )
            yield Comparison.create(prompt, first, second)

    def _texts(self, stage: Stage, reference: str) -> dict[str, str]:
        """A text of every prompt."""
        source = self._source(reference)
        if self._stages.result(source) is not None:
            path = self._stages.folder(source) / "completions.jsonl"
            return {c.prompt_id: c.text for c in read_records(path, Completion)}
        letter = "x" if reference == _sides(stage)[0] else "y"
        text = letter * max(1, round(self.text_bytes(source)))
        return {prompt.prompt_id: text for prompt in self.prompts(stage)}

    def _same(self, stage: Stage) -> float:
        """The share of comparisons whose texts are the same, of which nobody is asked.

        None where both are there: those are left out one by one.
        """
        if stage.verb == "complete" or self._pilot is None:
            return 0.0
        sources = [self._source(one) for one in _sides(stage)]
        open_ones = [s for s in sources if self._stages.result(s) is None]
        names = [self._writers[source.digest] for source in sources]
        if not open_ones or None in names:
            return 0.0
        share = agreement(self._pilot, str(names[0]), str(names[1]))
        is_imitated = any(source.verb == "sample" for source in open_ones)
        return share * (self._config.forecast.imitation if is_imitated else 1.0)

    def _source(self, reference: str) -> Stage:
        """The stage that a reference is to."""
        return self._by_digest[reference.removeprefix("stage:").partition("/")[0]]

    def _answers(self, role: str) -> Answers:
        """What is known best of a role: done stages, a pilot, what is declared."""
        seen = self._seen(role)
        source = "stages that are done"
        recorded = self._recorded(role)
        if recorded is not None:
            written = seen if seen.texts else recorded
            source = source if seen.texts else "the recorded file"
            mean = written.text_bytes / max(1, written.texts)
            return Answers(1.0, 0.0, mean, source)
        asked = endpoints_of(self._config, role)
        piloted = self._pilot["seen"] if self._pilot is not None else {}
        # stages tell of several models only the sum, a pilot of each what it answers
        if role in piloted and (not seen.calls or len(asked) > 1):
            seen = Seen(**piloted[role])
            source = f"a pilot of {seen.calls} calls"
        if seen.calls:
            return seen.answers(source)
        declared = self._config.forecast.completion_tokens.get(role)
        if declared is not None:
            return Answers(1.0, declared, BYTES_PER_TOKEN * declared, "declared")
        most = [one.answer_tokens for one in asked]
        half = SHARE_OF_MAX_TOKENS * max(most, default=0)
        return Answers(1.0, half, BYTES_PER_TOKEN * half, _HALF)

    def _of_seat(self, role: str, number: int) -> Answers:
        """What one of a role's models answers; as all do, if that is not known."""
        known = self.answers[role]
        piloted = self._pilot["seen"] if self._pilot is not None else {}
        seat = seat_of(role, number)
        if len(endpoints_of(self._config, role)) == 1 or seat not in piloted:
            return known
        return Seen(**piloted[seat]).answers(known.source)

    def _recorded(self, role: str) -> Seen | None:
        """The texts of a recorded teacher, which is asked nothing; None: another."""
        part, _, name = role.partition(".")
        teacher = self._config.teachers[name] if part == "teachers" else None
        if not isinstance(teacher, RecordedConfig):
            return None
        rows = read_judgments(teacher.file)
        is_first = teacher.output == "output_1"
        sides = {r.instruction: r.output_1 if is_first else r.output_2 for r in rows}
        sizes = [len(text.encode()) for text in sides.values()]
        return Seen(texts=len(sizes), text_bytes=sum(sizes))

    def _seen(self, role: str) -> Seen:
        """What the stages that are done tell of a role."""
        done = (
            self._seen_in(self._by_digest[digest])
            for digest, name in self._roles.items()
            if name == role
        )
        return sum(done, Seen())

    def _seen_in(self, stage: Stage) -> Seen:
        result = self._stages.result(stage)
        if result is None:
            return Seen()
        texts: list[str] = []
        if stage.verb == "complete":
            path = self._stages.folder(stage) / "completions.jsonl"
            texts = [one.text for one in read_records(path, Completion)]
        expected = result["estimate"]
        return Seen(
            calls=result["calls"],
            prompt_tokens=result["prompt_tokens"],
            expected_prompt_tokens=round(
                expected["prompt_tokens"] * result["calls"] / max(1, expected["calls"])
            ),
            completion_tokens=result["completion_tokens"],
            texts=len(texts),
            text_bytes=sum(len(text.encode()) for text in texts),
        )


_HALF = "half of max_tokens"


def _sides(stage: Stage) -> tuple[str, str]:
    """References to the two sides of a stage that judges."""
    names = {"label": ("first", "second"), "evaluate": ("baseline", "candidate")}
    first, second = names[stage.verb]
    return stage.document[first], stage.document[second]


def _writers(config: StudyConfig, arms: Sequence[ArmStages]) -> dict[str, str | None]:
    """The teacher that a stage's texts are like, by its digest; None: a base model."""
    found: dict[str, str | None] = {}
    for arm in arms:
        found[arm.baseline.digest] = config.baseline
        own = config.arms[arm.arm].teacher
        for stage in (arm.teacher, arm.student, arm.rival, arm.sample):
            if stage is not None:
                found[stage.digest] = own
        source = config.label_arm(arm.arm)
        for stage in arm.borrowed:
            if source is not None and stage.verb in ("complete", "sample"):
                found[stage.digest] = config.arms[source].teacher
    return found
