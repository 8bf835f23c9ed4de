"""EasyDeL's arm; needs easydel and pillow in an environment with Python >= 3.11.

    PYTHON benchmarks/train_arms/with_easydel.py FOLDER TASK SHAPE PART

Every batch has one shape, as its trainers make it: all prompts and completions padded
to the longest of the part. DPO's reference is computed before, which is part of
`loading`. Its SFT loss is the mean over the tokens of a batch. The first step compiles
and is not counted.
"""

import os
import tempfile
import time
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import datasets
import easydel
import jax
import numpy as np
from race import (
    BETA,
    CLIP,
    RATE,
    Clock,
    Race,
    padded_length,
    race_from_arguments,
    tell,
)
from transformers import AutoTokenizer


def main(race: Race) -> None:
    """Trains one part of the epoch."""
    datasets.disable_progress_bars()
    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(race.folder / "model")
    steps: list[tuple[float, Any]] = []

    def timed(trainer_class: Any) -> Any:
        class Timed(trainer_class):
            def on_step_end(self, state: Any, metrics: Any, step: int) -> Any:
                found = super().on_step_end(state, metrics, step)
                loss = float(jax.block_until_ready(metrics.loss))
                steps.append((time.perf_counter(), loss))
                return found

        return Timed

    with tempfile.TemporaryDirectory() as folder:
        make = dpo if race.task == "dpo" else sft
        start = model(race)
        with start.mesh:  # its scoring with the reference asks for one
            trainer = make(race, folder, timed, tokenizer, start)
            clock.lap("loading")
            began = time.perf_counter()
            trainer.train()
    times = [at for at, _ in steps]
    clock.seconds["compile"] = round(times[0] - began, 3)
    counted = len(times) - 1
    # as if all batches had been counted, so that `tell` divides what it should
    clock.seconds["train"] = (times[-1] - times[0]) * len(times) / counted
    tell(race, clock, [loss for _, loss in steps], steps_counted=counted)


def model(race: Race) -> Any:
    """Its Llama, with the race's weights."""
    return easydel.AutoEasyDeLModelForCausalLM.from_pretrained(
        str(race.folder / "model"),
        dtype=jax.numpy.float32,
        param_dtype=jax.numpy.float32,
        from_torch=True,
        auto_shard_model=True,
        config_kwargs={"attn_mechanism": "vanilla", "rope_theta": 1e6},
    )


def common(race: Race, folder: str) -> dict[str, Any]:
    """What both trainers are told."""
    return {
        "save_directory": folder,
        "num_train_epochs": 1,
        "total_batch_size": len(race.batches[0]),
        "learning_rate": RATE,
        "clip_grad": CLIP,
        "weight_decay": 0.0,
        "scheduler": "none",
        "shuffle_train_dataset": False,
        "use_wandb": False,
        "report_metrics": False,
        "log_steps": 1,
        "report_steps": 1,
        "do_last_save": False,
        "save_optimizer_state": False,
        "track_memory": False,
        "use_esurge_generation": False,
        "progress_bar_type": "json",
    }


def dpo(race: Race, folder: str, timed: Any, tokenizer: Any, start: Any) -> Any:
    """Its DPO trainer."""
    rows = [
        {
            "prompt_input_ids": prompt,
            "prompt_attention_mask": [1] * len(prompt),
            "chosen_input_ids": chosen,
            "chosen_attention_mask": [1] * len(chosen),
            "rejected_input_ids": rejected,
            "rejected_attention_mask": [1] * len(rejected),
        }
        for batch in race.batches
        for prompt, chosen, rejected in batch
    ]
    ends = max(
        len(row[f"{s}_input_ids"]) for row in rows for s in ("chosen", "rejected")
    )
    prompts = padded_length(max(len(row["prompt_input_ids"]) for row in rows))
    config = easydel.DPOConfig(
        **common(race, folder),
        beta=BETA,
        precompute_ref_log_probs=True,
        max_prompt_length=prompts,
        max_completion_length=padded_length(ends),
        max_length=prompts + padded_length(ends),
    )
    return timed(easydel.DPOTrainer)(
        arguments=config,
        model=start,
        reference_model=model(race),
        processing_class=tokenizer,
        train_dataset=datasets.Dataset.from_list(rows),
    )


def sft(race: Race, folder: str, timed: Any, tokenizer: Any, start: Any) -> Any:
    """Its SFT trainer."""
    items = [item for batch in race.batches for item in batch]
    length = padded_length(max(len(p) + len(c) for p, c in items))
    rows = []
    for prompt, completion in items:
        text = len(prompt) + len(completion)
        ids = np.zeros((2, length), np.int32)
        ids[0, :text] = prompt + completion
        ids[1, len(prompt) : text] = 1
        # with an attention mask, the tokens of prompts would count in the mean as zeros
        names = ("input_ids", "completion_mask")
        rows.append(dict(zip(names, ids.tolist(), strict=True)))
    config = easydel.SFTConfig(
        **common(race, folder),
        max_length=length,
        packing=False,
    )
    return timed(easydel.SFTTrainer)(
        arguments=config,
        model=start,
        processing_class=tokenizer,
        train_dataset=datasets.Dataset.from_list(rows),
    )


if __name__ == "__main__":
    main(race_from_arguments())
