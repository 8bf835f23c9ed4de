"""TRL's arm; needs trl, datasets and torch in its own environment.

    PYTHON benchmarks/train_arms/with_trl.py FOLDER TASK SHAPE PART

The ids are those of all arms: its trainers tokenize nothing. Its defaults but for what
the race fixes; the reference is computed before (`precompute_ref_log_probs`), SFT packs
with its own packer. A forward and backward pass of one batch comes before the clock.
"""

import os
import tempfile
import time
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import datasets
import torch
import trl
from race import BETA, CLIP, RATE, Clock, Race, race_from_arguments, tell
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

PACKED = 1024  # tokens of a row of TRL's packer, as of ours


class Epoch(TrainerCallback):
    """Times the epoch, from its first batch to its last update."""

    def __init__(self):
        self.started = self.ended = 0.0

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Notes the time."""
        self.started = time.perf_counter()

    def on_train_end(self, args, state, control, **kwargs):
        """Notes the time."""
        self.ended = time.perf_counter()


class IdsDpoTrainer(trl.DPOTrainer):
    """TRL's, of pairs that are ids already."""

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset


def main(race: Race) -> None:
    """Trains one part of the epoch."""
    datasets.disable_progress_bars()
    folder, clock, epoch = race.folder / "model", Clock(), Epoch()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.ones((len(race.batches[0]), 512), dtype=torch.long)
    model(input_ids=ids, labels=ids).loss.backward()
    model.zero_grad()
    clock.lap("compile")  # nothing is compiled, but memory is touched
    with tempfile.TemporaryDirectory() as out:
        trainer = (dpo if race.task == "dpo" else sft)(
            race, out, model=model, processing_class=tokenizer, callbacks=[epoch]
        )
        clock.lap("reference")
        trainer.train()
    clock.seconds["train"] = epoch.ended - epoch.started
    losses = [e["loss"] for e in trainer.state.log_history if "loss" in e]
    tell(race, clock, losses, steps=trainer.state.global_step)


def common(race: Race, out: str, rows: int) -> dict[str, Any]:
    """What both trainers are told."""
    return {
        "output_dir": out,
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": rows,
        "num_train_epochs": 1,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "max_grad_norm": CLIP,
        "weight_decay": 0.0,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_drop_last": False,
        "train_sampling_strategy": "sequential",
    }


def dpo(race: Race, out: str, **model: Any) -> Any:
    """Its DPO trainer."""
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    rows = [dict(zip(names, item, strict=True)) for b in race.batches for item in b]
    config = trl.DPOConfig(
        **common(race, out, len(race.batches[0])),
        beta=BETA,
        precompute_ref_log_probs=True,
        max_length=None,
    )
    data = datasets.Dataset.from_list(rows)
    return IdsDpoTrainer(args=config, train_dataset=data, **model)


def sft(race: Race, out: str, **model: Any) -> Any:
    """Its SFT trainer, with rows of its packer: as many a step as our items fill."""
    items = [item for batch in race.batches for item in batch]
    rows = [
        {"input_ids": p + c, "completion_mask": [0] * len(p) + [1] * len(c)}
        for p, c in items
    ]
    length = 512 if race.shape == "full" else PACKED
    tokens = sum(len(row["input_ids"]) for row in rows) / len(race.batches)
    config = trl.SFTConfig(
        **common(race, out, round(tokens / length + 0.4)),
        packing=race.shape == "real",
        max_length=length,
        completion_only_loss=True,
    )
    data = datasets.Dataset.from_list(rows)
    return trl.SFTTrainer(args=config, train_dataset=data, **model)


if __name__ == "__main__":
    main(race_from_arguments())
