"""Labels comparisons and prints one line a label: run as a process of its own."""

import asyncio
import contextlib
import sys
from pathlib import Path

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.critic import ChatCritic
from rlaif_jax.labeling.pipeline import label_all
from rlaif_jax.labeling.session import open_asker
from rlaif_jax.records import Comparison, Completion, Message, Prompt


def comparisons(number):
    for index in range(number):
        message = Message(role="user", content=f"question {index}")
        prompt = Prompt.create((message,), source="test")
        first, second = (
            Completion.create(prompt.prompt_id, text, generator="g")
            for text in (("good", "bad") if index % 2 else ("bad", "good"))
        )
        yield Comparison.create(prompt, first, second)


async def main(base_url, ledger, number, key):
    config = EndpointConfig(
        api="openai",
        base_url=base_url,
        model="judge-1",
        api_key_env="KEY",
        max_in_flight=8,
        usd_per_million_input_tokens=1.0,
        usd_per_million_output_tokens=1.0,
    )
    async with open_asker(
        config, api_key=key, ledger=Path(ledger), budget_usd=1.0
    ) as asker:
        run = label_all(
            comparisons(int(number)),
            critic=ChatCritic(asker=asker),
            workers=8,
            stop=asker.stop,
            accounts=Accounts(total=int(number)),
        )
        async with contextlib.aclosing(run):
            async for label in run:
                print(label.model_dump_json(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
