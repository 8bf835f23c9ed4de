"""Prompts, completions and configs that the benchmarks of labeling run on."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlaif_jax.files import write_records
from rlaif_jax.labeling.wording import VERDICT
from rlaif_jax.records import Comparison, Completion, Message, Prompt

WORDS = ["the", "of", "and", "to", "in", "is", "that", "it", "for", "was", "on", "are"]
PROMPT_WORDS, ANSWER_WORDS = 60, 180  # on average; about 2 KB a comparison
INPUT_USD, OUTPUT_USD = 1.0, 4.0  # a million tokens


def comparisons(number: int, *, seed: int = 0) -> Iterator[Comparison]:
    """So many comparisons of made-up texts, made as they are asked for."""
    for index in range(number):
        draw = random.Random(f"{seed} {index}")
        prompt = Prompt.create(
            (Message(role="user", content=_text(draw, index, PROMPT_WORDS)),),
            source="bench",
            split="aif",
        )
        sides = (_completion(prompt, draw, index, name) for name in ("one", "two"))
        yield Comparison.create(prompt, *sides)


def write_inputs(folder: Path, number: int, *, seed: int = 0) -> list[str]:
    """Writes what `label` reads; returns the ids of its comparisons, in order."""
    made = list(comparisons(number, seed=seed))
    write_records(
        folder / "prompts.jsonl",
        (
            Prompt(
                prompt_id=one.prompt_id,
                messages=one.messages,
                source="bench",
                split="aif",
            )
            for one in made
        ),
    )
    write_records(folder / "one.jsonl", (one.first for one in made))
    write_records(folder / "two.jsonl", (one.second for one in made))
    return [one.pair_id for one in made]


def write_items(folder: Path, number: int) -> None:
    """Writes the same comparisons for arms that know nothing of this package."""
    items = [
        {
            "instruction": one.messages[0].content,
            "output_1": one.first.text,
            "output_2": one.second.text,
            "questions": [
                [turn.model_dump() for turn in VERDICT.messages(one, swapped=swapped)]
                for swapped in (False, True)
            ],
        }
        for one in comparisons(number)
    ]
    (folder / "items.json").write_text(json.dumps(items))


def write_config(
    folder: Path, url: str, *, critic: dict[str, Any], **fields: Any
) -> Path:
    """Writes a config of `label` for these inputs and a local server."""
    document = {
        "prompts": str(folder / "prompts.jsonl"),
        "first": str(folder / "one.jsonl"),
        "second": str(folder / "two.jsonl"),
        "critic": {
            "api": "openai",
            "base_url": f"{url}/v1",
            "identity": "bench",
            "model": "bench-judge",
            "max_tokens": 16,
            "usd_per_million_input_tokens": INPUT_USD,
            "usd_per_million_output_tokens": OUTPUT_USD,
            **critic,
        },
        **fields,
    }
    path = folder / "label.yaml"
    path.write_text(json.dumps(document))  # JSON is YAML too
    return path


def billed_usd(stats: dict[str, Any]) -> float:
    """What a server that counted these tokens sends a bill for."""
    tokens_usd = (
        INPUT_USD * stats["prompt_tokens"] + OUTPUT_USD * stats["completion_tokens"]
    )
    return 1e-6 * tokens_usd


def sealed_files(out: Path) -> dict[str, bytes]:
    """What a run of `label` has sealed: shards, their manifest, their labels."""
    patterns = ("*.parquet", "manifest.jsonl", "labels/*.jsonl")
    paths = sorted(path for pattern in patterns for path in out.glob(pattern))
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def _completion(
    prompt: Prompt, draw: random.Random, index: int, name: str
) -> Completion:
    text = _text(draw, index, ANSWER_WORDS)
    return Completion.create(prompt.prompt_id, text, generator=name)


def _text(draw: random.Random, index: int, words: int) -> str:
    number = draw.randint(words // 2, words * 3 // 2)
    return f"{index}: " + " ".join(draw.choices(WORDS, k=number))
