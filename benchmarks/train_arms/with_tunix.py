"""Tunix's arm; needs google-tunix in its own environment.

    PYTHON benchmarks/train_arms/with_tunix.py FOLDER TASK SHAPE PART

Batches are padded to the longest, as its trainers want them. Its DPO has no cache of
the reference and computes it in every step. Its SFT loss is the mean over the tokens of
a batch, and its head sees all of them: what is masked is only the loss.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from race import (
    BETA,
    CLIP,
    RATE,
    Clock,
    Item,
    Race,
    padded_length,
    race_from_arguments,
    tell,
    warm_up,
)
from safetensors.numpy import load_file
from tunix.models.llama3 import model as llama
from tunix.rl import common
from tunix.sft import peft_trainer
from tunix.sft.dpo import dpo_trainer

HEADS, WIDTH = 4, 64


def main(race: Race) -> None:
    """Trains one part of the epoch."""
    clock, batches = Clock(), race.batches
    make = pairs if race.task == "dpo" else examples
    whole = {id(items): make(items) for items in batches}
    clock.lap("packing")
    losses: list[Any] = []
    trainer = (dpo if race.task == "dpo" else sft)(race)
    logged = trainer._post_process_train_step

    def keep(aux: Any) -> None:
        losses.append(trainer._buffered_train_metrics.losses[-1])
        logged(aux)

    trainer._post_process_train_step = keep

    def shape(items: list[Item]) -> Any:
        return [np.shape(leaf) for leaf in jax.tree.leaves(whole[id(items)])]

    start = nnx.state((trainer.model, trainer.optimizer))
    start = jax.tree.map(jnp.copy, start)
    trainer.train(whole[id(i)] for i in warm_up(batches, lambda i: str(shape(i))))
    nnx.update((trainer.model, trainer.optimizer), start)
    trainer._iter_steps = trainer._train_steps = 0
    losses.clear()
    clock.lap("compile")
    trainer.train(make(items) for items in batches)
    jax.block_until_ready(nnx.state(trainer.model))
    clock.lap("train")
    told = sorted({str(shape(items)[0]) for items in batches})
    tell(race, clock, losses, shapes=told)


def model(race: Race) -> llama.Llama3:
    """Its Llama, with the race's weights."""
    weights = load_file(race.folder / "model" / "model.safetensors")
    num_layers = sum("input_layernorm" in name for name in weights)
    embedding = weights["model.embed_tokens.weight"]
    config = llama.ModelConfig(
        num_layers=num_layers,
        vocab_size=embedding.shape[0],
        embed_dim=embedding.shape[1],
        hidden_dim=weights["model.layers.0.mlp.up_proj.weight"].shape[0],
        num_heads=HEADS,
        head_dim=WIDTH,
        num_kv_heads=HEADS,
        rope_theta=1_000_000,
        norm_eps=1e-6,
    )
    made = llama.Llama3(config, rngs=nnx.Rngs(0))

    def put(param: Any, value: Any) -> None:
        assert param.value.shape == value.shape
        param.value = jnp.asarray(value)

    put(made.embedder.input_embedding, embedding)
    put(made.final_norm.w, weights["model.norm.weight"])
    put(made.lm_head.w, weights["lm_head.weight"].T)
    for number, layer in enumerate(made.layers):
        for name in ("q_proj", "k_proj", "v_proj"):
            kernel = weights[f"model.layers.{number}.self_attn.{name}.weight"].T
            put(getattr(layer.attn, name).w, kernel.reshape(-1, HEADS, WIDTH))
        kernel = weights[f"model.layers.{number}.self_attn.o_proj.weight"].T
        put(layer.attn.o_proj.w, kernel.reshape(HEADS, WIDTH, -1))
        for name in ("gate_proj", "up_proj", "down_proj"):
            kernel = weights[f"model.layers.{number}.mlp.{name}.weight"].T
            put(getattr(layer.mlp, name).kernel, kernel)
        for name in ("input_layernorm", "post_attention_layernorm"):
            put(getattr(layer, name).w, weights[f"model.layers.{number}.{name}.weight"])
    return made


def optimizer() -> optax.GradientTransformation:
    """As in all arms."""
    return optax.chain(
        optax.clip_by_global_norm(CLIP), optax.adamw(RATE, weight_decay=0.0)
    )


def dpo(race: Race) -> Any:
    """Its DPO trainer."""
    config = dpo_trainer.DPOTrainingConfig(eval_every_n_steps=10**6, beta=BETA)
    return dpo_trainer.DPOTrainer(model(race), model(race), optimizer(), config)


def sft(race: Race) -> Any:
    """Its SFT trainer."""
    config = peft_trainer.TrainingConfig(eval_every_n_steps=10**6)
    trainer = peft_trainer.PeftTrainer(model(race), optimizer(), config)

    def inputs(batch: peft_trainer.TrainingInput) -> dict[str, Any]:
        ids = jnp.asarray(batch.input_tokens)
        text = jnp.arange(ids.shape[1]) < jnp.asarray(batch.input_mask)[:, 1:2]
        positions = common.build_positions_from_mask(text)
        is_completion = jnp.arange(ids.shape[1]) >= batch.input_mask[:, :1]
        return {
            "input_tokens": ids,
            "input_mask": text & is_completion,
            "positions": positions,
            "attention_mask": common.make_causal_attn_mask(text),
        }

    return trainer.with_gen_model_input_fn(inputs)


def pairs(items: list[Item]) -> dpo_trainer.TrainingInput:
    """Pairs, prompts padded on the left."""
    sides = list(zip(*items, strict=True))
    length = padded_length(max(len(part) for side in sides[1:] for part in side))
    prompt = padded_length(max(map(len, sides[0])))
    (p, pm), (c, cm), (r, rm) = (
        padded(side, size, is_left=number == 0)
        for number, (side, size) in enumerate(
            zip(sides, (prompt, length, length), strict=True)
        )
    )
    return dpo_trainer.TrainingInput(
        prompt_ids=p,
        prompt_mask=pm,
        chosen_ids=c,
        chosen_mask=cm,
        rejected_ids=r,
        rejected_mask=rm,
    )


def examples(items: list[Item]) -> peft_trainer.TrainingInput:
    """Examples; where their completions start and end in place of a mask."""
    rows = [prompt + completion for prompt, completion in items]
    ids, _ = padded(rows, padded_length(max(map(len, rows))), is_left=False)
    spans = [[len(item[0]), len(row)] for item, row in zip(items, rows, strict=True)]
    return peft_trainer.TrainingInput(
        input_tokens=ids, input_mask=np.array(spans, np.int32)
    )


def padded(parts: Any, length: int, *, is_left: bool) -> tuple[Any, Any]:
    """Ids and their mask."""
    ids, mask = (np.zeros((len(parts), length), np.int32) for _ in range(2))
    for row, part in enumerate(parts):
        place = slice(length - len(part), None) if is_left else slice(len(part))
        ids[row, place], mask[row, place] = part, 1
    return ids, mask


if __name__ == "__main__":
    main(race_from_arguments())
