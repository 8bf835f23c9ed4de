"""A loop around an official SDK: a semaphore, typed answers, nothing kept."""

import asyncio
from typing import Any

import anthropic
import httpx2
import openai
from race import Meter, Race, race_from_arguments

MAX_TOKENS = 16


async def main(race: Race) -> None:
    """Asks every question of a race."""
    api, _, transport = race.arm.partition(" ")
    module = openai if api == "openai" else anthropic
    http_client = None
    if transport == "aiohttp":
        limits = httpx2.Limits(max_connections=race.in_flight)
        http_client = module.DefaultAioHttpClient(limits=limits)
    kind = openai.AsyncOpenAI if api == "openai" else anthropic.AsyncAnthropic
    client: Any = kind(
        api_key="none",
        base_url=f"{race.url}/v1" if api == "openai" else race.url,
        http_client=http_client,
        max_retries=0,
        timeout=120.0,
    )
    meter, places = Meter(), asyncio.Semaphore(race.in_flight)
    create = ask_openai if api == "openai" else ask_anthropic
    async with client:
        texts = await asyncio.gather(
            *(create(client, chat, places, meter) for chat in race.questions)
        )
    meter.tell()
    assert all(text.startswith("Output (") for text in texts)


async def ask_openai(
    client: openai.AsyncOpenAI,
    chat: list[dict[str, str]],
    places: asyncio.Semaphore,
    meter: Meter,
) -> str:
    """The answer to one question."""
    messages: Any = chat
    async with places:
        begun_at = meter.begin()
        answer = await client.chat.completions.create(
            model="bench-judge", messages=messages, max_tokens=MAX_TOKENS
        )
        meter.end(begun_at)
    return answer.choices[0].message.content or ""


async def ask_anthropic(
    client: anthropic.AsyncAnthropic,
    chat: list[dict[str, str]],
    places: asyncio.Semaphore,
    meter: Meter,
) -> str:
    """The answer to one question."""
    system, *turns = chat
    messages: Any = turns
    async with places:
        begun_at = meter.begin()
        answer = await client.messages.create(
            model="bench-judge",
            system=system["content"],
            messages=messages,
            max_tokens=MAX_TOKENS,
        )
        meter.end(begun_at)
    return "".join(block.text for block in answer.content if block.type == "text")


if __name__ == "__main__":
    asyncio.run(main(race_from_arguments()))
