"""`followup`: MT-bench's second prompts, after a writer's own first answers."""

from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.config_bench import FollowupConfig
from rlaif_jax.files import write_json, write_records
from rlaif_jax.mt_bench import follow_ups, read_questions
from rlaif_jax.records import content_hash
from rlaif_jax.run_folder import claim
from rlaif_jax.typing import Json


def run(config: FollowupConfig, out: Path, console: Console) -> Json:
    """Writes prompts.jsonl: question, first answer, second question."""
    console.say(f"reading {config.questions}")
    prompts = follow_ups(read_questions(config.questions), config.completions)
    claim(out, config, inputs=content_hash([p.prompt_id for p in prompts]))
    write_records(out / "prompts.jsonl", prompts)
    result = {"prompts": len(prompts), "file": str(out / "prompts.jsonl")}
    write_json(out / "prompts.json", result)
    return result


def show(result: Json, out: Path) -> None:
    """Prints the count."""
    del out
    print(f"{result['prompts']} second prompts: {result['file']}")
