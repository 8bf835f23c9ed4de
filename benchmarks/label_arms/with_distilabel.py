"""distilabel's OpenAI model, batch by batch, without a pipeline around it."""

import os
from typing import Any

from race import Meter, race_from_arguments

os.environ["OPENAI_API_KEY"] = "none"

from distilabel.models import OpenAILLM
from openai.resources.chat.completions import AsyncCompletions

MAX_TOKENS = 16


def main() -> None:
    """Asks every question of a race, as many at a time as a batch holds."""
    race, meter = race_from_arguments(), Meter()
    AsyncCompletions.create = timed(AsyncCompletions.create, meter)
    model = OpenAILLM(model="bench-judge", base_url=f"{race.url}/v1", max_retries=0)
    model.load()
    questions = race.questions
    outputs = []
    for place in range(0, len(questions), race.in_flight):
        batch = questions[place : place + race.in_flight]
        outputs += model.generate_outputs(inputs=batch, max_new_tokens=MAX_TOKENS)
    meter.tell()
    assert all(out["generations"][0].startswith("Output (") for out in outputs)


def timed(create: Any, meter: Meter) -> Any:
    """The method with a clock around it."""

    async def create_timed(*arguments: Any, **options: Any) -> Any:
        begun_at = meter.begin()
        try:
            return await create(*arguments, **options)
        finally:
            meter.end(begun_at)

    return create_timed


if __name__ == "__main__":
    main()
