"""The stages of a study: what runs, on what, under which name.

A stage is named by the hash of its config and its inputs, so stages that arms have in
common are one stage, and what is done is done. Pure: nothing runs here.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlaif_jax.config import Config
from rlaif_jax.files import file_sha256
from rlaif_jax.records import content_hash
from rlaif_jax.run_folder import essence
from rlaif_jax.study.config import ArmConfig, StudyConfig
from rlaif_jax.typing import Json

# Options of a section that came after stages had names. At these values they do what
# was done before there was a choice, and are in no digest: what is done, and may have
# been paid for, keeps its name.
_ASKING: Json = {"reasoning_effort": None}
_SITTING: Json = _ASKING | {"constrain": "none"}  # of a seat of a jury
_JUDGING: Json = _SITTING | {"template": "verdict", "verdicts": "hard", "votes": 1}
_LATER: dict[str, Json] = {
    "critic": _JUDGING,
    "evaluator": _JUDGING,
    "teacher": _ASKING,
    "source": {
        "reader": "file",
        "data_dir": None,
        "revision": None,
        "rules": "clean",
        "data_fraction": 1.0,
        "num_turns": 1,
        "min_score_ratio": 2.0,
        "generator": None,
    },
    "tokens": {"compat": "clean", "kept": "end"},
}
_LATER_OF_VERBS: dict[str, Json] = {  # options beside the sections
    "prompts": {"also": [], "skip": 0},
    "sft": {"order": "shuffled"},
    "dpo": {"order": "shuffled"},
}


@dataclass(frozen=True)
class Stage:
    """One command of the study, with its inputs still by name.

    Attributes:
      verb: The command.
      digest: The hash that names the stage's folder.
      title: For people.
      document: The command's config; an input is the string `stage:DIGEST/FILE`.
      needs: Digests of the stages that it reads.
      cached: Whether it lives in the user's cache, shared by all studies.
    """

    verb: str
    digest: str
    title: str
    document: Json
    needs: frozenset[str]
    cached: bool = False

    @property
    def folder(self) -> str:
        """The stage's folder, below the root of stages."""
        return f"{self.verb}-{self.digest[:12]}"

    def output(self, file: str = "") -> str:
        """How another stage's document refers to a file of this one."""
        return f"stage:{self.digest}/{file}"


@dataclass(frozen=True)
class ArmStages:
    """The stages of one arm under one seed, in the order of the pipeline."""

    arm: str
    seed: int
    base: Stage | None
    prompts: Stage
    teacher: Stage
    baseline: Stage
    sft: Stage
    student: Stage | None
    label: Stage | None
    dpo: Stage | None
    sample: Stage
    evaluate: Stage
    direct: tuple[Stage, ...] = ()  # its completions against those of other arms

    def all(self) -> list[Stage]:
        """Every stage, upstream first."""
        stages = [self.base, self.prompts, self.baseline, self.teacher, self.sft]
        stages += [self.student, self.label, self.dpo, self.sample, self.evaluate]
        stages += self.direct
        return [stage for stage in stages if stage is not None]


def build_graph(config: StudyConfig) -> list[ArmStages]:
    """The stages of every arm under every seed; equal stages appear repeatedly."""
    arms = [
        _arm_stages(config, name, arm, seed)
        for seed in config.seeds
        for name, arm in config.arms.items()
    ]
    return [_with_direct(config, arm, arms) for arm in arms]


def resolve(document: Any, folders: dict[str, Path]) -> Any:
    """The document with every `stage:DIGEST/FILE` replaced by a path.

    Args:
      document: A stage's document, or a part of it.
      folders: Digest to the folder of that stage.
    """
    if isinstance(document, dict):
        return {key: resolve(value, folders) for key, value in document.items()}
    if isinstance(document, list):
        return [resolve(value, folders) for value in document]
    if isinstance(document, str) and document.startswith("stage:"):
        digest, _, file = document.removeprefix("stage:").partition("/")
        return str(folders[digest] / file)
    return document


def _stage(
    verb: str, title: str, document: Json, needs: list[Stage | None], **kwargs: bool
) -> Stage:
    upstream = frozenset(stage.digest for stage in needs if stage is not None)
    digest = content_hash(verb, _contents(_as_named(verb, essence(document))))
    return Stage(verb, digest, title, document, upstream, **kwargs)


def _as_named(verb: str, document: Json) -> Json:
    """The document without later options that change nothing."""
    named = _without(document, _LATER_OF_VERBS.get(verb, {}))
    for section in _LATER.keys() & document.keys():
        named[section] = _without(document[section], _LATER[section])
        if "critics" in named[section]:
            seats = named[section]["critics"]
            named[section]["critics"] = [_without(seat, _SITTING) for seat in seats]
    return named


def _without(section: Json, later: Json) -> Json:
    """A section without those later options that are at their defaults."""
    return {
        key: value
        for key, value in section.items()
        if (key, value) not in later.items()
    }


def _contents(document: Any) -> Any:
    """The document with every input file and folder replaced by its hash."""
    if isinstance(document, dict):
        return {key: _contents(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_contents(value) for value in document]
    if isinstance(document, str) and not document.startswith("stage:"):
        return _content(document)
    return document


def _content(text: str) -> str:
    """The text itself, or the hash of the file or model folder that it names."""
    path = Path(text)
    if "/" in text and path.is_file():
        return file_sha256(path)
    if "/" in text and path.is_dir():
        files = sorted(f for f in path.rglob("*.json") if f.is_file())
        return content_hash([file_sha256(file) for file in files])
    return text


def _plain(config: Config) -> Json:
    return config.model_dump(mode="json")


def _arm_stages(config: StudyConfig, name: str, arm: ArmConfig, seed: int) -> ArmStages:
    prompts = _prompts(config, seed)
    base = _base(config, seed)
    baseline = _complete(config, config.baseline, _prompts(config, config.seeds[0]))
    teacher = _complete(config, arm.teacher, prompts, seed=seed)
    sft = _sft(config, arm, seed, base=base, prompts=prompts, teacher=teacher)
    student = label = dpo = None
    if arm.critic is not None:
        student = _sample(config, sft, prompts, seed=seed, splits=arm.aif_splits)
        label = _label(config, arm, prompts, teacher=teacher, student=student)
        dpo = _dpo(config, seed, sft=sft, label=label)
    policy = dpo or sft
    sample = _sample(config, policy, prompts, seed=seed, splits=None)
    return ArmStages(
        arm=name,
        seed=seed,
        base=base,
        prompts=prompts,
        teacher=teacher,
        baseline=baseline,
        sft=sft,
        student=student,
        label=label,
        dpo=dpo,
        sample=sample,
        evaluate=_evaluate(config, prompts, sample=sample, baseline=baseline),
    )


def _with_direct(
    config: StudyConfig, arm: ArmStages, arms: list[ArmStages]
) -> ArmStages:
    """The arm with its comparisons to others of its seed, in the config's order."""
    others = {one.arm: one for one in arms if one.seed == arm.seed}
    direct = tuple(
        _evaluate(config, arm.prompts, sample=arm.sample, baseline=others[other].sample)
        for name, other in config.evaluation.direct
        if name == arm.arm
    )
    return replace(arm, direct=direct)


def _base(config: StudyConfig, seed: int) -> Stage | None:
    """The base model that this seed trains from scratch, if the study says so."""
    recipe = config.base.pretrain
    if recipe is None:
        return None
    document = _plain(recipe)
    model = {
        "preset": document.pop("preset"),
        "tokenizer": document.pop("tokenizer"),
        "init_seed": seed,
    }
    document |= {"model": model, "seed": seed}
    return _stage("sft", f"base model, seed {seed}", document, [], cached=True)


def _prompts(config: StudyConfig, seed: int) -> Stage:
    document = _plain(config.prompts) | {"seed": seed}
    return _stage("prompts", f"prompts, seed {seed}", document, [])


def _complete(
    config: StudyConfig, teacher: str, prompts: Stage, seed: int | None = None
) -> Stage:
    """A teacher's completions: of the evaluation split, if no seed is given."""
    arms = [arm for arm in config.arms.values() if arm.teacher == teacher]
    held_out = config.sft.validation.splits if config.sft.validation else ()
    splits = sorted({split for arm in arms for split in arm.splits} | {*held_out})
    document = {
        "prompts": prompts.output("prompts.jsonl"),
        "splits": [config.evaluation.split] if seed is None else splits,
        "teacher": _plain(config.teachers[teacher]),
        "generator": teacher,
        "seed": seed or 0,
    }
    part = "baseline" if seed is None else f"seed {seed}"
    return _stage("complete", f"{teacher} writes, {part}", document, [prompts])


def _sft(
    config: StudyConfig,
    arm: ArmConfig,
    seed: int,
    *,
    base: Stage | None,
    prompts: Stage,
    teacher: Stage,
) -> Stage:
    given = config.base.model
    start = _plain(given) if given else {"path": base.output() if base else ""}
    document = _plain(config.sft) | {
        "model": start,
        "prompts": prompts.output("prompts.jsonl"),
        "completions": teacher.output("completions.jsonl"),
        "splits": list(arm.sft_splits),
        "tokens": _plain(config.tokens),
        "seed": seed,
    }
    if arm.sft_epochs is not None:
        document["epochs"] = arm.sft_epochs
    part = "+".join(arm.sft_splits)
    title = f"SFT on {arm.teacher} ({part}), seed {seed}"
    return _stage("sft", title, document, [base, prompts, teacher])


def _sample(
    config: StudyConfig,
    policy: Stage,
    prompts: Stage,
    *,
    seed: int,
    splits: tuple[str, ...] | None,
) -> Stage:
    """Completions of a policy; of the evaluation split, if none is given."""
    recipe = config.evaluation.sampling if splits is None else config.student_sampling
    document = _plain(recipe) | {
        "model": {"path": policy.output()},
        "prompts": prompts.output("prompts.jsonl"),
        "splits": [config.evaluation.split] if splits is None else list(splits),
        "tokens": _plain(config.tokens),
        "generator": f"{policy.verb}-{policy.digest[:12]}",
        "seed": seed,
    }
    title = f"sample from {policy.title}"
    return _stage("sample", title, document, [policy, prompts])


def _label(
    config: StudyConfig,
    arm: ArmConfig,
    prompts: Stage,
    *,
    teacher: Stage,
    student: Stage,
) -> Stage:
    assert arm.critic is not None
    document = {
        "prompts": prompts.output("prompts.jsonl"),
        "first": teacher.output("completions.jsonl"),
        "second": student.output("completions.jsonl"),
        "splits": list(arm.aif_splits),
        "critic": _plain(config.critics[arm.critic]),
        "orders": config.label_orders,
    }
    title = f"{arm.critic} judges {arm.teacher} against {student.title}"
    return _stage("label", title, document, [prompts, teacher, student])


def _dpo(config: StudyConfig, seed: int, *, sft: Stage, label: Stage) -> Stage:
    assert config.dpo is not None  # the config's validator saw to it
    document = _plain(config.dpo) | {
        "model": {"path": sft.output()},
        "preferences": label.output(),
        "tokens": _plain(config.tokens),
        "seed": seed,
    }
    return _stage("dpo", f"DPO from {sft.title}", document, [sft, label])


def _evaluate(
    config: StudyConfig, prompts: Stage, *, sample: Stage, baseline: Stage
) -> Stage:
    document = {
        "prompts": prompts.output("prompts.jsonl"),
        "splits": [config.evaluation.split],
        "candidate": sample.output("completions.jsonl"),
        "baseline": baseline.output("completions.jsonl"),
        "evaluator": _plain(config.evaluation.evaluator),
        "orders": config.evaluation.orders,
    }
    if config.evaluation.evaluators:
        document["evaluators"] = [_plain(one) for one in config.evaluation.evaluators]
    title = f"evaluate {sample.title}"
    return _stage("evaluate", title, document, [prompts, sample, baseline])
