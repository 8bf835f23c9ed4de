"""The arm of `train.py` that TRL runs; needs trl, datasets and torch.

    PYTHON benchmarks/train_trl.py dpo|sft FOLDER

Prints one JSON line. The model, the batches and the reference log-probabilities are
those of the other arms; TRL's defaults but for what they fix.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import datasets
import torch
import trl
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

BATCH, RATE, BETA = 16, 1e-4, 0.1


class Clock(TrainerCallback):
    """Times the second epoch."""

    def __init__(self):
        self.epochs = []

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Notes the time."""
        self.epochs.append(time.monotonic())

    def on_train_end(self, args, state, control, **kwargs):
        """Notes the time."""
        self.epochs.append(time.monotonic())


def main(task: str, folder: str) -> None:
    """Trains two epochs and prints the speed of the second."""
    datasets.disable_progress_bars()
    pairs = json.loads((Path(folder) / "pairs.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(Path(folder) / "model")
    model = AutoModelForCausalLM.from_pretrained(
        Path(folder) / "model", dtype=torch.float32
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        common = {
            "output_dir": out,
            "use_cpu": True,
            "bf16": False,
            "per_device_train_batch_size": BATCH,
            "num_train_epochs": 2,
            "learning_rate": RATE,
            "lr_scheduler_type": "constant",
            "max_grad_norm": 10.0,
            "weight_decay": 0.0,
            "gradient_checkpointing": False,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_drop_last": False,
            "train_sampling_strategy": "sequential",
        }
        trainer = build(task, model, tokenizer, pairs, common, clock)
        trainer.train()
    start, end = clock.epochs[1:3]
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(
        json.dumps(
            {
                "items_per_second": len(pairs) / (end - start),
                "first_pass_seconds": round(clock.epochs[1] - clock.epochs[0], 1),
                "losses": [round(float(loss), 5) for loss in losses[:4]],
                "steps": trainer.state.global_step,
            }
        )
    )


def build(task, model, tokenizer, pairs, common, clock):
    """TRL's trainer of the task."""
    if task == "dpo":
        text = tokenizer.decode
        rows = [
            {"prompt": text(p), "chosen": text(c[:-1]), "rejected": text(r[:-1])}
            for p, c, r in pairs
        ]
        config = trl.DPOConfig(
            **common, beta=BETA, precompute_ref_log_probs=True, max_length=None
        )
        trainer = trl.DPOTrainer
    else:
        rows = [
            {
                "input_ids": p + c,
                "completion_mask": [0] * len(p) + [1] * len(c),
            }
            for p, c, _ in pairs
        ]
        config = trl.SFTConfig(
            **common, packing=True, max_length=1024, completion_only_loss=True
        )
        trainer = trl.SFTTrainer
    return trainer(
        model=model,
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[clock],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
