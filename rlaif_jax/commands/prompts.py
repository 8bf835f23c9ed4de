"""`prompts`: read, filter, split."""

from collections import Counter
from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.config import PromptsConfig
from rlaif_jax.data.sources import read_prompts
from rlaif_jax.data.splits import assign_splits, filter_prompts
from rlaif_jax.errors import UsageError
from rlaif_jax.files import write_json, write_records
from rlaif_jax.records import content_hash
from rlaif_jax.run_folder import claim
from rlaif_jax.typing import Json


def run(config: PromptsConfig, out: Path, console: Console) -> Json:
    """Writes prompts.jsonl, the source's own completions if it has some, and counts."""
    console.say(f"reading {config.source.format} {config.source.path}")
    read = read_prompts(config.source)
    kept = filter_prompts(
        read.prompts,
        max_words=config.max_words,
        max_characters=config.max_characters,
    )
    prompts = assign_splits(
        kept.prompts, config.fractions, seed=config.seed, limit=config.limit
    )
    if not prompts:
        raise UsageError(f"{config.source.path} leaves no prompt after the filters")
    claim(out, config, inputs=content_hash([p.prompt_id for p in prompts]))
    write_records(out / "prompts.jsonl", prompts)
    if read.completions:
        ids = {prompt.prompt_id for prompt in prompts}
        own = [c for c in read.completions if c.prompt_id in ids]
        write_records(out / "completions.jsonl", own)
    result = {
        "prompts": len(prompts),
        "read": read.num_read,
        "dropped": {**read.dropped, **kept.dropped},
        "splits": dict(sorted(Counter(p.split for p in prompts).items())),
        "file": str(out / "prompts.jsonl"),
    }
    write_json(out / "prompts.json", result)
    return result


def show(result: Json, out: Path) -> None:
    """Prints the counts."""
    del out
    print(f"{result['prompts']} of {result['read']} prompts kept: {result['file']}")
    for name in ("splits", "dropped"):
        counts = ", ".join(f"{key} {count}" for key, count in result[name].items())
        print(f"{name}: {counts or 'none'}")
