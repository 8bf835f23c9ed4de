"""The verb `label`: ledger, budget, limits, both orders, sealed shards."""

import sys
from typing import Any

from race import Meter, race_from_arguments

from rlaif_jax.commands import label
from rlaif_jax.commands.console import Console
from rlaif_jax.config import LabelConfig
from rlaif_jax.config_file import load_config
from rlaif_jax.labeling.anthropic_chat import AnthropicChat
from rlaif_jax.labeling.openai_chat import OpenAIChat


def main() -> None:
    """Labels everything, with a clock around each call."""
    race, meter = race_from_arguments(), Meter()
    api = race.arm
    for kind in (OpenAIChat, AnthropicChat):
        kind.ask = timed(kind.ask, meter)
    config = load_config(
        LabelConfig,
        [
            str(race.folder / "label.yaml"),
            f"critic.api={api}",
            f"critic.base_url={race.url}{'/v1' if api == 'openai' else ''}",
            f"critic.max_in_flight={race.in_flight}",
        ],
    )
    result = label.run(config, race.folder / "out", Console(quiet=True))
    meter.tell()
    if result["states"].keys() - {"labeled"}:
        sys.exit(f"unexpected states: {result['states']}")


def timed(ask: Any, meter: Meter) -> Any:
    """The method with a clock around it."""

    async def ask_timed(*arguments: Any, **options: Any) -> Any:
        begun_at = meter.begin()
        try:
            return await ask(*arguments, **options)
        finally:
            meter.end(begun_at)

    return ask_timed


if __name__ == "__main__":
    main()
