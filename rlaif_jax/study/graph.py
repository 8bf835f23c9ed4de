"""The stages of a study: what runs, and on what. Pure: nothing runs here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rlaif_jax.config import Config
from rlaif_jax.records import content_hash
from rlaif_jax.study.arms import ArmConfig
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.stage import Stage, named_stage
from rlaif_jax.typing import Json

_SEEDS = 2**31  # of sampling


@dataclass(frozen=True)
class ArmStages:
    """The stages of one arm under one seed, in the order of the pipeline."""

    arm: str
    seed: int
    base: Stage | None
    prompts: Stage
    teacher: Stage | None
    baseline: Stage
    sft: Stage | None
    student: Stage | None
    label: Stage | None
    dpo: Stage | None
    sample: Stage
    evaluate: Stage
    rival: Stage | None = None  # the student's other samples, where it is both sides
    borrowed: tuple[Stage, ...] = ()  # of the arm whose labels it uses, up to these
    direct: tuple[Stage, ...] = ()  # its completions against those of other arms
    other_prompts: tuple[Stage, ...] = ()  # which its stages read besides its own

    def all(self) -> list[Stage]:
        """Every stage, upstream first."""
        stages = [self.base, self.prompts, *self.other_prompts, self.baseline]
        stages += [self.teacher, self.sft]
        stages += [self.student, self.rival, *self.borrowed, self.label, self.dpo]
        stages += [self.sample, self.evaluate, *self.direct]
        found = {stage.digest: stage for stage in stages if stage is not None}
        return list(found.values())


def build_graph(config: StudyConfig) -> list[ArmStages]:
    """The stages of every arm under every seed; equal stages appear repeatedly."""
    arms = [
        _arm_stages(config, name, seed) for seed in config.seeds for name in config.arms
    ]
    return [_with_direct(config, arm, arms) for arm in arms]


def stages_with_arms(
    arms: Sequence[ArmStages],
) -> dict[str, tuple[Stage, list[str]]]:
    """Every stage once, by its digest, with the names of the arms that need it."""
    found: dict[str, tuple[Stage, list[str]]] = {}
    for arm in arms:
        for stage in arm.all():
            names = found.setdefault(stage.digest, (stage, []))[1]
            if arm.arm not in names:
                names.append(arm.arm)
    return found


def other_seed(why: str, seed: int) -> int:
    """A seed of sampling that is another for every reason and seed."""
    return int(content_hash(why, seed), 16) % _SEEDS


def _plain(config: Config) -> Json:
    return config.model_dump(mode="json")


@dataclass(frozen=True)
class _Start:
    """What an arm is trained from: the stages up to its SFT."""

    base: Stage | None
    prompts: Stage
    teacher: Stage | None
    sft: Stage | None


@dataclass(frozen=True)
class _Judged:
    """Labels, and the samples of the student that they are about."""

    student: Stage
    rival: Stage | None
    label: Stage


def _arm_stages(config: StudyConfig, name: str, seed: int) -> ArmStages:
    start, judged, dpo = _start(config, name, seed), None, None
    borrowed: tuple[Stage, ...] = ()
    if (source := config.label_arm(name)) is not None:
        origin = start if source == name else _start(config, source, seed)
        judged = _judged(config, source, seed, origin)
        assert start.sft is not None  # the config's validator saw to it
        dpo = _dpo(config, name, seed, sft=start.sft, label=judged.label)
        if source != name:
            upstream = (origin.base, origin.prompts, origin.teacher, origin.sft)
            upstream += (judged.student, judged.rival)
            borrowed = tuple(stage for stage in upstream if stage is not None)
    own = judged if source == name else None
    prompts = _prompts(config, seed)  # what it is evaluated on is everyone's
    baseline = _complete(config, config.baseline, _prompts(config, config.seeds[0]))
    written = _sample(
        config, name, dpo or start.sft or start.base, prompts, seed=seed, splits=None
    )
    return ArmStages(
        arm=name,
        seed=seed,
        base=start.base,
        prompts=start.prompts,
        teacher=start.teacher,
        baseline=baseline,
        sft=start.sft,
        student=own.student if own else None,
        label=judged.label if judged else None,
        dpo=dpo,
        sample=written,
        evaluate=_evaluate(config, prompts, sample=written, baseline=baseline),
        rival=own.rival if own else None,
        borrowed=borrowed,
        other_prompts=_others(config, name, seed),
    )


def _with_direct(
    config: StudyConfig, arm: ArmStages, arms: list[ArmStages]
) -> ArmStages:
    """The arm with its comparisons to others of its seed, in the config's order."""
    others = {one.arm: one for one in arms if one.seed == arm.seed}
    prompts = _prompts(config, arm.seed)
    direct = tuple(
        _evaluate(config, prompts, sample=arm.sample, baseline=others[other].sample)
        for name, other in config.evaluation.direct
        if name == arm.arm
    )
    return replace(arm, direct=direct)


def _others(config: StudyConfig, name: str, seed: int) -> tuple[Stage, ...]:
    """Prompts that an arm's stages read besides its own: all, a teacher's, SFT's."""
    drawn = [_prompts(config, seed)]
    for one in dict.fromkeys((name, config.label_arm(name) or name)):
        teacher = config.arms[one].teacher
        if teacher is not None:
            drawn.append(_prompts(config, seed, _asked_of(config, teacher)))
            drawn.append(_demonstrated(config, one, seed))
    return tuple(drawn)


def _start(config: StudyConfig, name: str, seed: int) -> _Start:
    """The stages of an arm up to its SFT."""
    arm = config.arms[name]
    prompts = _prompts(config, seed, arm.at_most)
    base = _base(config, name, seed)
    if arm.teacher is None:
        return _Start(base, prompts, teacher=None, sft=None)
    asked = _prompts(config, seed, _asked_of(config, arm.teacher))
    teacher = _complete(config, arm.teacher, asked, seed=seed)
    demonstrated = _demonstrated(config, name, seed)
    sft = _sft(config, name, seed, base=base, prompts=demonstrated, teacher=teacher)
    return _Start(base, prompts, teacher, sft)


def _judged(config: StudyConfig, name: str, seed: int, start: _Start) -> _Judged:
    """The labels of an arm with a critic."""
    arm = config.arms[name]
    student = _sample(
        config, name, start.sft, start.prompts, seed=seed, splits=arm.aif_splits
    )
    rival = None
    if arm.pairs == "student_student":
        other = other_seed("rival", seed)
        rival = _sample(
            config, name, start.sft, start.prompts, seed=other, splits=arm.aif_splits
        )
    first = rival or start.teacher
    assert first is not None  # the config's validator saw to it
    label = _label(config, arm, start.prompts, first=first, second=student)
    return _Judged(student, rival, label)


def _base(config: StudyConfig, name: str, seed: int) -> Stage | None:
    """The base model that this seed trains from scratch, if the study says so."""
    recipe = config.base_of(name).pretrain
    if recipe is None:
        return None
    document = _plain(recipe)
    model = {
        "preset": document.pop("preset"),
        "tokenizer": document.pop("tokenizer"),
        "init_seed": seed,
    }
    document |= {"model": model, "seed": seed}
    title = " ".join(filter(None, ("base model", config.base_name(name))))
    return named_stage("sft", f"{title}, seed {seed}", document, [], cached=True)


def _start_model(config: StudyConfig, name: str, base: Stage | None) -> Json:
    """The base model, given or trained from scratch, as a stage's model section."""
    given = config.base_of(name).model
    return _plain(given) if given else {"path": base.output() if base else ""}


def _prompts(
    config: StudyConfig, seed: int, at_most: Mapping[str, int] | None = None
) -> Stage:
    document = _plain(config.prompts) | {"seed": seed}
    title = f"prompts, seed {seed}"
    if at_most:
        document["at_most"] = dict(sorted(at_most.items()))
        title += ", at most " + " and ".join(f"{n} of {s}" for s, n in at_most.items())
    return named_stage("prompts", title, document, [])


def _demonstrated(config: StudyConfig, name: str, seed: int) -> Stage:
    """The prompts of an arm's SFT: how many are judged is nothing to it."""
    arm = config.arms[name]
    most = {s: n for s, n in arm.at_most.items() if s in arm.sft_splits}
    return _prompts(config, seed, most)


def _asked_of(config: StudyConfig, teacher: str) -> dict[str, int]:
    """Split to the most prompts of it that any arm needs of a teacher."""
    arms = [arm for arm in config.arms.values() if arm.teacher == teacher]
    wanted: dict[str, list[int | None]] = {}
    for arm in arms:
        for split in arm.written_splits:
            wanted.setdefault(split, []).append(arm.at_most.get(split))
    known = {
        split: [most for most in mosts if most is not None]
        for split, mosts in wanted.items()
        if None not in mosts
    }
    return {split: max(mosts) for split, mosts in known.items()}


def _complete(
    config: StudyConfig, teacher: str, prompts: Stage, seed: int | None = None
) -> Stage:
    """A teacher's completions: of the evaluation split, if no seed is given."""
    arms = [arm for arm in config.arms.values() if arm.teacher == teacher]
    held_out = config.sft.validation.splits if config.sft.validation else ()
    splits = {split for arm in arms for split in arm.written_splits} | {*held_out}
    document = {
        "prompts": prompts.output("prompts.jsonl"),
        "splits": [config.evaluation.split] if seed is None else sorted(splits),
        "teacher": _plain(config.teachers[teacher]),
        "generator": teacher,
        "seed": seed or 0,
    }
    part = "baseline" if seed is None else f"seed {seed}"
    return named_stage("complete", f"{teacher} writes, {part}", document, [prompts])


def _sft(
    config: StudyConfig,
    name: str,
    seed: int,
    *,
    base: Stage | None,
    prompts: Stage,
    teacher: Stage,
) -> Stage:
    arm = config.arms[name]
    document = _plain(config.sft) | {
        "model": _start_model(config, name, base),
        "prompts": prompts.output("prompts.jsonl"),
        "completions": teacher.output("completions.jsonl"),
        "splits": list(arm.sft_splits),
        "tokens": _plain(config.tokens),
        "seed": seed,
    }
    if arm.sft_epochs is not None:
        document["epochs"] = arm.sft_epochs
    if not arm.is_trained_on_pairs:
        document |= _steps(arm, config.sft.batch_size)
    part = "+".join(arm.sft_splits)
    of = f" of {arm.base}" if arm.base else ""
    title = f"SFT{of} on {arm.teacher} ({part}), seed {seed}"
    return named_stage("sft", title, document, [base, prompts, teacher])


def _sample(
    config: StudyConfig,
    name: str,
    policy: Stage | None,
    prompts: Stage,
    *,
    seed: int,
    splits: tuple[str, ...] | None,
) -> Stage:
    """Completions of a policy; of the evaluation split, if none is given.

    Without a stage that makes it, the policy is the base model that is given.
    """
    recipe = config.evaluation.sampling if splits is None else config.student_sampling
    model, generator = _start_model(config, name, None), "base"
    title = "the base model"
    if policy is not None:
        model = {"path": policy.output()}
        generator = f"{policy.verb}-{policy.digest[:12]}"
        title = policy.title
    document = _plain(recipe) | {
        "model": model,
        "prompts": prompts.output("prompts.jsonl"),
        "splits": [config.evaluation.split] if splits is None else list(splits),
        "tokens": _plain(config.tokens),
        "generator": generator,
        "seed": seed,
    }
    return named_stage("sample", f"sample from {title}", document, [policy, prompts])


def _label(
    config: StudyConfig,
    arm: ArmConfig,
    prompts: Stage,
    *,
    first: Stage,
    second: Stage,
) -> Stage:
    assert arm.critic is not None
    document = {
        "prompts": prompts.output("prompts.jsonl"),
        "first": first.output("completions.jsonl"),
        "second": second.output("completions.jsonl"),
        "splits": list(arm.aif_splits),
        "critic": _plain(config.critics[arm.critic]),
        "orders": config.label_orders,
    }
    other = arm.teacher if arm.pairs == "teacher_student" else "another sample"
    title = f"{arm.critic} judges {other} against {second.title}"
    return named_stage("label", title, document, [prompts, first, second])


def _dpo(
    config: StudyConfig, name: str, seed: int, *, sft: Stage, label: Stage
) -> Stage:
    assert config.dpo is not None  # the config's validator saw to it
    arm = config.arms[name]
    document = _plain(config.dpo) | {
        "model": {"path": sft.output()},
        "preferences": label.output(),
        "tokens": _plain(config.tokens),
        "seed": seed,
    }
    document |= _steps(arm, config.dpo.batch_size)
    if arm.loss is not None:
        document["loss"] = _plain(arm.loss)
    borrowed = f" on the labels of {arm.pairs_of}" if arm.pairs_of else ""
    return named_stage("dpo", f"DPO{borrowed} from {sft.title}", document, [sft, label])


def _steps(arm: ArmConfig, batch_size: int) -> Json:
    """The length of an arm's last training, where it is not told in epochs."""
    if arm.max_steps is None:
        return {}
    # enough epochs for these steps, however few examples an epoch has
    return {"max_steps": arm.max_steps, "epochs": arm.max_steps * batch_size}


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
    return named_stage("evaluate", title, document, [prompts, sample, baseline])
