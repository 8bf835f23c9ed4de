"""`lab`: serve the embedded teachers and critics, or write their world."""

import asyncio
from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.config import LabConfig
from rlaif_jax.files import write_json
from rlaif_jax.lab.server import serve
from rlaif_jax.lab.world import write_world
from rlaif_jax.typing import Json


def run(config: LabConfig, out: Path, console: Console) -> Json:
    """Writes the world's files, or answers requests until it is interrupted."""
    if config.write is not None:
        console.say(f"writing the {config.variant} world to {config.write}")
        write_world(config.write, variant=config.variant)
        return {"variant": config.variant, "folder": str(config.write)}

    def report(url: str) -> None:
        write_json(out / "lab.json", {"url": url, "variant": config.variant})
        console.say(f"the {config.variant} lab answers at {url} (OpenAI: {url}/v1)")

    asyncio.run(
        serve(
            config.variant,
            host=config.host,
            port=config.port,
            latency_s=config.latency_s,
            faults=config.faults,
            report=report,
        )
    )
    return {"variant": config.variant}


def show(result: Json, out: Path) -> None:
    """Says which folder was written to."""
    del out
    print(f"{result['variant']} lab: {result['folder']}")
