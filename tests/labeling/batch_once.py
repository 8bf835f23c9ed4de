"""Labels with batches, and may die on the way: run as a process of its own."""

import itertools
import json
import os
import signal
import sys
from pathlib import Path

from rlaif_jax.commands import label
from rlaif_jax.commands.console import Console
from rlaif_jax.config import LabelConfig
from rlaif_jax.config_file import validate
from rlaif_jax.files import write_records
from rlaif_jax.labeling.batch_patience import Patience
from rlaif_jax.labeling.batch_results import Books
from rlaif_jax.labeling.batches import Journal
from rlaif_jax.labeling.ledger import Ledger
from rlaif_jax.records import Completion, Message, Prompt


def write_input(folder, number):
    """Prompts and two completions of each; every seventh two are equal."""
    prompts = [
        Prompt.create((Message(role="user", content=f"question {index}"),), source="t")
        for index in range(number)
    ]
    write_records(folder / "prompts.jsonl", prompts)
    for side, texts in (("first", ("good", "bad")), ("second", ("bad", "good"))):
        completions = [
            Completion.create(
                prompt.prompt_id,
                "same" if index % 7 == 6 else texts[index % 2],
                generator=side,
            )
            for index, prompt in enumerate(prompts)
        ]
        write_records(folder / f"{side}.jsonl", completions)


def document(folder, endpoint, **fields):
    """A config of `label` for that input."""
    names = ("prompts", "first", "second")
    files = {name: str(folder / f"{name}.jsonl") for name in names}
    return {**files, "critic": endpoint, "comparisons_per_shard": 5, **fields}


def dies_after(kind, name, is_it):
    """Has the process killed after a call of a method that `is_it`."""
    real = getattr(kind, name)

    def dying(*args, **fields):
        result = real(*args, **fields)
        if is_it(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(kind, name, dying)


def dies_once_created():
    """Has the process killed when the provider has a batch, and nobody knows."""
    real = Patience.tried

    async def tried(*args, is_repeatable=True):
        result = await real(*args, is_repeatable=is_repeatable)
        if not is_repeatable:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Patience.tried = tried


_num_calls = itertools.count(1)


def third(*args):
    return next(_num_calls) == 3


PLACES = {
    "planned": lambda: dies_after(Journal, "plan", lambda *args: True),
    "intended": lambda: dies_after(Ledger, "intend", third),
    "ingesting": lambda: dies_after(Books, "_settle", third),
    "orphan": dies_once_created,
}


def die_at(place):
    """Has the process killed at a place: a state of the journal, or within a step."""
    if place in PLACES:
        PLACES[place]()
    elif place:
        dies_after(Journal, "note", lambda self, entry, state: state == place)


if __name__ == "__main__":
    config, out, place = sys.argv[1:]
    die_at(place)
    chosen = validate(LabelConfig, json.loads(config))
    print(json.dumps(label.run(chosen, Path(out), Console())))
