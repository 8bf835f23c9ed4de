"""AlpacaEval's annotator, its evaluator `gpt4` at the local server: a call a pair."""

import os
import tempfile
from pathlib import Path
from typing import Any

from race import Meter, race_from_arguments

os.environ["OPENAI_API_KEY"] = "none"

import alpaca_eval.annotators
import openai
import yaml
from openai.resources.chat.completions import Completions


def main() -> None:
    """Annotates every pair of a race."""
    race, meter = race_from_arguments(), Meter()
    Completions.create = timed(Completions.create, meter)
    package = Path(alpaca_eval.annotators.__file__).parents[1]
    known = package / "evaluators_configs"
    config = yaml.safe_load((known / "gpt4" / "configs.yaml").read_text())
    config["gpt4"]["prompt_template"] = str(known / "chatgpt" / "basic_prompt.txt")
    config["gpt4"]["completions_kwargs"] |= {
        "model_name": "bench-judge",
        "num_procs": race.in_flight,
        "price_per_token": 0.0,
        "client_kwargs": {},
    }
    openai.base_url = f"{race.url}/v1"
    os.environ["OPENAI_BASE_URL"] = f"{race.url}/v1"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "configs.yaml"
        path.write_text(yaml.safe_dump(config))
        annotator = alpaca_eval.annotators.PairwiseAnnotator(
            annotators_config=path, caching_path=None
        )
        rows = [
            {name: item[name] for name in ("instruction", "output_1", "output_2")}
            for item in race.items
        ]
        done = annotator.annotate_pairs(rows)
    meter.tell()
    assert {row["preference"] for row in done} <= {1.0, 2.0}


def timed(create: Any, meter: Meter) -> Any:
    """The method with a clock around it."""

    def create_timed(*arguments: Any, **options: Any) -> Any:
        begun_at = meter.begin()
        try:
            return create(*arguments, **options)
        finally:
            meter.end(begun_at)

    return create_timed


if __name__ == "__main__":
    main()
