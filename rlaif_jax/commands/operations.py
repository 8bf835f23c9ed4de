"""How many floating-point operations the stages of a study take, before they run."""

import json
from collections.abc import Sequence
from pathlib import Path

from rlaif_jax.commands.expecting import Expected
from rlaif_jax.commands.policy import plain_config
from rlaif_jax.commands.stages import Stages
from rlaif_jax.commands.sweep import best_run
from rlaif_jax.config_parts import ModelConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_records, read_text
from rlaif_jax.labeling.tokens import BYTES_PER_TOKEN
from rlaif_jax.models import TransformerConfig
from rlaif_jax.models.flops import TokenCounts, forward_flops, training_flops
from rlaif_jax.records import Completion
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.stage import Stage
from rlaif_jax.typing import Json

_ON_DEVICES = ("sft", "dpo", "sample")


class Operations:
    """FLOPs of the stages that train or sample.

    Tokens are taken to be four bytes, and no longer than the study lets them be.
    """

    def __init__(
        self, config: StudyConfig, arms: Sequence[ArmStages], expected: Expected
    ):
        self._config = config
        self._expected = expected
        self._arm_of: dict[str, str] = {}
        self._teacher_of: dict[str, Stage] = {}
        self._label_of: dict[str, Stage] = {}
        for arm in arms:
            source = config.label_arm(arm.arm)
            for stage in arm.all():
                lent = source is not None and stage in arm.borrowed
                self._arm_of[stage.digest] = str(source) if lent else arm.arm
            if arm.sft is not None and arm.teacher is not None:
                self._teacher_of[arm.sft.digest] = arm.teacher
            if arm.dpo is not None and arm.label is not None:
                self._label_of[arm.dpo.digest] = arm.label

    def flops(self, stage: Stage) -> int | None:
        """Of a stage, every run of a sweep included; None if the model is not here."""
        if stage.verb not in _ON_DEVICES:
            return 0
        one = self.step_flops(stage)
        if one is None or stage.verb == "sample":
            return None if one is None else one * len(self._expected.prompts(stage))
        steps = self.items(stage) * stage.document["epochs"]
        steps //= stage.document["batch_size"]
        if (most := stage.document.get("max_steps")) is not None:
            steps = min(steps, most)
        total = one * steps * self.num_rates(stage)
        return total + self._reference_flops(stage) if stage.verb == "dpo" else total

    def step_flops(self, stage: Stage) -> int | None:
        """Of one step; of one completion, where nothing is trained."""
        model = self._model(stage)
        if model is None:
            return None
        counts = TokenCounts.of(*self._lengths(stage), window=model.sliding_window)
        if stage.verb == "sample":
            return forward_flops(model, counts)
        return training_flops(model, counts) * stage.document["batch_size"]

    def num_rates(self, stage: Stage) -> int:
        """The runs of a stage: one for each rate of its sweep."""
        return len(
            (stage.document.get("sweep") or {"learning_rates": [0]})["learning_rates"]
        )

    def fixed_flops(self, arm: ArmStages) -> int:
        """What an arm's training takes before the steps that a budget may buy.

        The SFT of an arm whose labels it uses too: they are of what that wrote.
        """
        if arm.dpo is None or arm.sft is None:
            return 0
        trained = {one.digest: one for one in (arm.sft, *arm.borrowed)}
        before = sum(
            self.flops(one) or 0
            for one in trained.values()
            if one.verb == "sft" and not one.cached  # a base is everyone's
        )
        return before + self._reference_flops(arm.dpo)

    def items(self, stage: Stage) -> int:
        """The examples or pairs that a stage is trained on in one epoch."""
        if stage.verb == "dpo":
            return len(self._expected.prompts(self._label_of[stage.digest]))
        if stage.digest in self._teacher_of:
            return len(self._expected.prompts(stage))
        return sum(
            1 for _ in read_records(Path(stage.document["completions"]), Completion)
        )

    def _reference_flops(self, stage: Stage) -> int:
        """Of scoring every pair once."""
        model = self._model(stage)
        assert model is not None  # the caller has looked
        counts = TokenCounts.of(*self._lengths(stage), window=model.sliding_window)
        return forward_flops(model, counts) * self.items(stage)

    def _lengths(self, stage: Stage) -> tuple[int, tuple[int, ...]]:
        """Tokens of a prompt, and of each completion that follows it."""
        limits = stage.document["tokens"]
        if stage.verb == "sft" and stage.digest not in self._teacher_of:
            most = limits["max_prompt_tokens"], limits["max_completion_tokens"]
            return most[0], (most[1],)
        about = self._label_of.get(stage.digest, stage)
        prompts = self._expected.prompts(about)
        sizes = [sum(len(m.content.encode()) for m in p.messages) for p in prompts]
        prompt = sum(sizes) / len(sizes)
        writer = self._teacher_of.get(stage.digest, stage)
        if stage.verb == "dpo":
            writer = self._sft_teacher(stage)
        text = self._expected.text_bytes(writer)
        prompt_tokens, tokens = (
            min(limits[name], max(1, round(size / BYTES_PER_TOKEN)))
            for name, size in (
                ("max_prompt_tokens", prompt),
                ("max_completion_tokens", text),
            )
        )
        return prompt_tokens, (tokens,) * (2 if stage.verb == "dpo" else 1)

    def _sft_teacher(self, stage: Stage) -> Stage:
        """Who wrote what the policy of a DPO stage began with."""
        return next(
            teacher for sft, teacher in self._teacher_of.items() if sft in stage.needs
        )

    def _model(self, stage: Stage) -> TransformerConfig | None:
        """The architecture of the arm's base; None if its folder is not here."""
        base = self._config.base_of(self._arm_of[stage.digest])
        given = base.model
        if base.pretrain is not None:
            tokenizer = base.pretrain.tokenizer
            given = ModelConfig(preset=base.pretrain.preset, tokenizer=tokenizer)
        assert given is not None  # the config's validator saw to it
        try:
            return plain_config(given)
        except UsageError:
            return None


def trained_flops(stage: Stage, stages: Stages) -> float:
    """What training has computed, by its own log, in every run of a sweep.

    None of a stage that trains no arm: a base is there before the study.
    """
    if stage.verb not in ("sft", "dpo") or stage.cached:
        return 0.0
    folder = stages.folder(stage)
    runs = [folder] if best_run(folder) == folder else sorted(folder.glob("lr-*"))
    lines: list[Json] = []
    for run in runs:
        path = run / "timing.jsonl"
        lines += map(json.loads, read_text(path).splitlines())
    return sum(line.get("flops", 0.0) for line in lines)
