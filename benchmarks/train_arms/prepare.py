"""The model and the ids of all races."""

import argparse
import gzip
import json
import random
from pathlib import Path
from typing import Any

from race import Item, items_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

WORDS, LIMIT = 8192, 256
MODELS = ("claude", "zephyr-7b-beta", "gpt4", "vicuna-13b", "alpaca-7b", "phi-2")
REFERENCE = "text_davinci_003"  # whose outputs every annotation file has
DPO_BATCH, SFT_BATCH, FULL_BATCH = 16, 32, 8


def prepare(data: Path, folder: Path, options: argparse.Namespace) -> dict[str, int]:
    """Writes a random model, a tokenizer and every race's items; counts the items."""
    texts = alpaca_eval(data)
    tokenizer = train_tokenizer(texts)
    write_model(folder / "model", tokenizer)
    count, rounds = options.batches * options.rounds, options.rounds
    dpo = [encoded(tokenizer, text) for text in texts[: count * DPO_BATCH]]
    sft = [encoded(tokenizer, text[:2]) for text in texts[: count * SFT_BATCH]]
    full = options.full_batches
    found = {
        ("dpo", "real"): cut(dpo, DPO_BATCH),
        ("sft", "real"): cut(sft, SFT_BATCH),
        ("dpo", "full"): random_items(full * rounds, (LIMIT, LIMIT, LIMIT)),
        ("sft", "full"): random_items(full * rounds, (1, 2 * LIMIT - 1)),
    }
    for (task, shape), batches in found.items():
        size = len(batches) // rounds
        for part in range(rounds):
            mine = batches[part * size : (part + 1) * size]
            items_file(folder, task, shape, part).write_text(json.dumps(mine))
    return {f"{task}-{shape}": sum(map(len, b)) for (task, shape), b in found.items()}


def alpaca_eval(data: Path) -> list[tuple[str, str, str]]:
    """Instructions, a model's outputs, and the reference's: all models, shuffled."""
    texts = []
    for name in MODELS:
        packed = (data / f"{name}.annotations.json.gz").read_bytes()
        rows = json.loads(gzip.decompress(packed))
        texts += [(r["instruction"], r["output_2"], r["output_1"]) for r in rows]
    whole = [text for text in texts if all(text)]
    random.Random(0).shuffle(whole)
    return whole


def train_tokenizer(texts: list[tuple[str, str, str]]) -> Tokenizer:
    """A byte pair encoding of the texts, of which id 0 is the end."""
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=["</s>"], show_progress=False
    )
    bare.train_from_iterator((part for text in texts for part in text), trainer)
    return bare


def encoded(tokenizer: Tokenizer, text: tuple[str, ...]) -> Item:
    """A prompt, of which the front is cut, and completions, of which the end is."""
    prompt, *sides = (tokenizer.encode(part).ids for part in text)
    return [prompt[-LIMIT:], *([*side, 0][:LIMIT] for side in sides)]


def random_items(num_batches: int, sizes: tuple[int, ...]) -> list[list[Item]]:
    """Full batches of random ids."""
    draw = random.Random(0)
    return [
        [[draw.choices(range(1, WORDS), k=size) for size in sizes] for _ in range(8)]
        for _ in range(num_batches)
    ]


def cut(items: list[Item], size: int) -> list[list[Item]]:
    """Whole batches."""
    return [items[i : i + size] for i in range(0, len(items) - size + 1, size)]


def write_model(folder: Path, tokenizer: Any) -> None:
    """A random Llama, with its tokenizer, as Hugging Face has them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    wrapped.pad_token = "</s>"
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        # Tunix's Llama knows no other base
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        eos_token_id=0,
        bos_token_id=0,
        max_position_embeddings=2048,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
