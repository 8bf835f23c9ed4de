"""The files of one embedded world: prompts, pre-training corpus, tokenizer."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from rlaif_jax.errors import UsageError
from rlaif_jax.files import write_json, write_records
from rlaif_jax.lab.families import FAMILIES, pick
from rlaif_jax.lab.tasks import Pool, draw_instruction
from rlaif_jax.lab.teachers import Teacher
from rlaif_jax.lab.variants import Variant, variant_named
from rlaif_jax.lab.vocabulary import write_tokenizer
from rlaif_jax.records import Completion, Message, Prompt

_MAX_REPEATS = 300  # in a row, of a family: taken to be used up


@dataclass(frozen=True, kw_only=True)
class WorldSizes:
    """How much of everything a world holds."""

    train_prompts: int = 6000
    validation_prompts: int = 300
    test_prompts: int = 500
    corpus_documents: int = 64_000  # of each pre-training corpus
    corpus_seeds: tuple[int, ...] = (0,)  # one corpus, and so one base model, each

    def __post_init__(self) -> None:
        """Refuses sizes below one."""
        counts = (self.train_prompts, self.validation_prompts, self.test_prompts)
        if min(*counts, self.corpus_documents) < 1 or not self.corpus_seeds:
            raise UsageError(f"every size of a world is at least 1: {self}")


def write_world(
    folder: Path,
    *,
    variant: str = "default",
    sizes: WorldSizes | None = None,
    seed: int = 0,
) -> None:
    """Writes a world; the same arguments give the same bytes.

    `prompts.jsonl`, `pretraining/SEED/prompts.jsonl` and `completions.jsonl` for each
    corpus seed, `tokenizer/`, and last `world.json` with the numbers it was made from.
    Tasks of the validation and test prompts are in no corpus and in no training
    prompt, under any wording and any seed.

    Args:
      folder: Where to; files of another world there are replaced.
      variant: A name of `variants.VARIANTS`.
      sizes: How much; the defaults otherwise.
      seed: Of the prompts.

    Raises:
      UsageError: On an unknown variant, or more prompts than the world has.
    """
    numbers = variant_named(variant)
    sizes = sizes or WorldSizes()
    write_tokenizer(folder / "tokenizer")
    write_records(folder / "prompts.jsonl", _world_prompts(sizes, seed))
    for corpus_seed in sizes.corpus_seeds:
        corpus = draw_corpus(numbers, sizes.corpus_documents, seed=corpus_seed)
        _write_corpus(folder / "pretraining" / str(corpus_seed), corpus)
    written = {
        "variant": variant,
        "seed": seed,
        "numbers": dataclasses.asdict(numbers),
        "sizes": dataclasses.asdict(sizes),
    }
    write_json(folder / "world.json", written)


def draw_prompts(within: Pool, count: int, *, seed: int) -> list[Prompt]:
    """Distinct prompts of a pool, as evenly over the families as they last.

    Raises:
      UsageError: If the pool does not hold so many.
    """
    random = Random(f"prompts {within} {seed}")
    texts: dict[str, None] = {}  # an ordered set
    open_families = list(FAMILIES)
    while len(texts) < count:
        if not open_families:
            raise UsageError(
                f"the lab has only {len(texts)} {within} prompts, {count} were asked"
            )
        for family in tuple(open_families):
            if not _add_new(texts, random, family, within):
                open_families.remove(family)
    chosen = list(texts)[:count]
    return [_prompt(text, within) for text in chosen]


class Document(NamedTuple):
    """One prompt and its completion in a pre-training corpus."""

    instruction: str
    text: str


def draw_corpus(variant: Variant, count: int, *, seed: int) -> list[Document]:
    """Documents on training tasks, right and in style as often as the variant says."""
    random = Random(f"pretraining {seed}")
    writer = Teacher(
        name=f"lab-corpus-{seed}",
        skill=variant.corpus_skill,
        style=variant.corpus_style,
    )
    families = tuple(FAMILIES)
    documents = []
    for number in range(count):
        family = families[int(pick(random, range(len(families))))]
        instruction = draw_instruction(random, family, "train")
        text = writer.complete(instruction, seed=number)
        documents.append(Document(instruction, text))
    return documents


def _world_prompts(sizes: WorldSizes, seed: int) -> Iterator[Prompt]:
    yield from draw_prompts("train", sizes.train_prompts, seed=seed)
    yield from draw_prompts("validation", sizes.validation_prompts, seed=seed)
    yield from draw_prompts("test", sizes.test_prompts, seed=seed)


def _prompt(text: str, split: str) -> Prompt:
    message = Message(role="user", content=text)
    return Prompt.create((message,), source="lab", split=split)


def _add_new(texts: dict[str, None], random: Random, family: str, within: Pool) -> bool:
    """Adds a text that is not there yet; False if none turned up."""
    for _ in range(_MAX_REPEATS):
        text = draw_instruction(random, family, within)
        if text not in texts:
            texts[text] = None
            return True
    return False


def _write_corpus(folder: Path, documents: list[Document]) -> None:
    """Writes each prompt once, and a completion a document."""
    prompts: dict[str, Prompt] = {}
    completions: list[Completion] = []
    for number, (instruction, text) in enumerate(documents):
        if instruction not in prompts:
            prompts[instruction] = _prompt(instruction, "train")
        completions.append(
            Completion.create(
                prompts[instruction].prompt_id,
                text,
                generator="lab-corpus",
                sampling={"document": number},  # equal texts stay separate documents
            )
        )
    write_records(folder / "prompts.jsonl", prompts.values())
    write_records(folder / "completions.jsonl", completions)
