"""`prompts`: read, filter, split."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.judged_pairs import seal_judged
from rlaif_jax.config import PromptsConfig
from rlaif_jax.data.origins import origin
from rlaif_jax.data.sources import PromptsRead, left_out, read_prompts
from rlaif_jax.data.splits import HELD_OUT, assign_splits, filter_prompts
from rlaif_jax.errors import UsageError
from rlaif_jax.files import write_json, write_records
from rlaif_jax.records import Prompt, content_hash
from rlaif_jax.run_folder import claim
from rlaif_jax.typing import Json


def run(config: PromptsConfig, out: Path, console: Console) -> Json:
    """Writes prompts.jsonl, the sources' own completions and judged pairs, and counts.

    Judged pairs become sealed preference shards, a folder a split.
    """
    sources = (config.source, *config.also)
    for source in sources:
        console.say(f"reading {source.format} {source.path}")
    read = read_prompts(*sources)
    kept = filter_prompts(
        read.prompts[config.skip :],
        max_words=config.max_words,
        max_characters=config.max_characters,
    )
    prompts = assign_splits(
        kept.prompts,
        config.fractions,
        seed=config.seed,
        limit=config.limit,
        at_most=config.at_most,
    )
    if not prompts:
        raise UsageError(
            f"{', '.join(one.path for one in sources)} leaves no prompt after the"
            " filters"
        )
    origins = [origin(*one) for one in zip(sources, read.content, strict=True)]
    ids = {prompt.prompt_id for prompt in prompts}
    drawn = [(one.prompt_id, one.split) for one in prompts]
    claim(
        out,
        config,
        inputs=content_hash(drawn, *_told_apart(read)),
        facts={"sources": origins},
    )
    write_records(out / "prompts.jsonl", prompts)
    if read.completions:
        own = [c for c in read.completions if c.prompt_id in ids]
        write_records(out / "completions.jsonl", own)
    result = {
        "prompts": len(prompts),
        "read": read.num_read,
        "skipped": min(config.skip, len(read.prompts)),
        "over": _over(kept.prompts, prompts, config.limit),
        "dropped": {**read.dropped, **kept.dropped},
        "splits": dict(sorted(Counter(p.split for p in prompts).items())),
        "sources": origins,
        "file": str(out / "prompts.jsonl"),
    }
    if read.judged or read.undecided:
        result["pairs"] = seal_judged(out, prompts, dict(read.judged))
        result["pairs_left_out"] = left_out(read.undecided, ids)
    write_json(out / "prompts.json", result)
    return result


def _over(
    kept: Sequence[Prompt], drawn: Sequence[Prompt], limit: int | None
) -> dict[str, int]:
    """How many prompts `limit` left out, and how many `at_most`."""
    free = sum(one.split not in HELD_OUT for one in kept)
    over = 0 if limit is None else max(0, free - limit)
    return {"over_the_limit": over, "over_at_most": len(kept) - len(drawn) - over}


def _told_apart(read: PromptsRead) -> tuple[str, ...]:
    """What else makes the shards: equal prompts may come with other pairs."""
    return read.content if read.judged else ()


def show(result: Json, out: Path) -> None:
    """Prints the counts."""
    print(f"{result['prompts']} of {result['read']} prompts kept: {result['file']}")
    for name in ("splits", "dropped"):
        counts = ", ".join(f"{key} {count}" for key, count in result[name].items())
        print(f"{name}: {counts or 'none'}")
    for split, count in result.get("pairs", {}).items():
        print(f"{count} judged pairs of {split}: {out / 'preferences' / split}")
