"""The pipeline of `label` over a stream of comparisons, and the memory it holds.

    python benchmarks/label_arms/memory.py 10000 100000 1000000

Prints one line: the resident memory after so many comparisons, and what of it is the
ledger's index. The chat model answers at once, in this process; all else is real.
"""

import asyncio
import contextlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from inputs import comparisons

from rlaif_jax.config_endpoints import CriticConfig
from rlaif_jax.labeling import session
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.chat import Answer
from rlaif_jax.labeling.critic import ChatCritic
from rlaif_jax.labeling.pipeline import label_all
from rlaif_jax.labeling.places import Places
from rlaif_jax.records import Message, Usage

CONFIG = CriticConfig(
    api="openai",
    base_url="http://127.0.0.1:1/v1",
    model="instant",
    max_in_flight=64,
    usd_per_million_input_tokens=1.0,
    usd_per_million_output_tokens=1.0,
)


class InstantChat:
    """Answers at once, after it has let the others have a turn."""

    api, model, identity, host = "openai", "instant", "instant", "nowhere"
    settings: ClassVar[dict[str, str]] = {}

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Answer:
        """A verdict that depends on nothing."""
        await asyncio.sleep(0)
        return Answer(
            text="Output (a)",
            finish_reason="stop",
            returned_model="instant",
            usage=Usage(prompt_tokens=500, completion_tokens=4),
            request_id="r",
        )

    def request(self, messages: Sequence[Message], **options: Any) -> dict[str, Any]:
        """Asks for nothing apart from a call."""
        raise NotImplementedError

    async def close(self) -> None:
        """Has nothing to close."""


async def main(steps: Sequence[int]) -> None:
    """Labels as many as the last step says."""
    session._OPENERS["openai"] = lambda endpoint, api_key: InstantChat()
    rows, begun_at = [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        async with session.open_asker(
            CONFIG, api_key=None, ledger=path, budget_usd=1e6
        ) as asker:
            run = label_all(
                comparisons(steps[-1]),
                critic=ChatCritic(asker=asker, orders="hashed"),
                workers=128,
                stop=asker.stop,
                accounts=Accounts(total=steps[-1]),
            )
            async with contextlib.aclosing(run):
                done = 0
                async for _ in run:
                    done += 1
                    if done in steps:
                        places = asker.ledger._places
                        rows.append(told(done, places, path.stat().st_size, begun_at))
                        print(rows[-1], file=sys.stderr, flush=True)
    first, last = rows[0], rows[-1]
    grown = last["rss_bytes"] - first["rss_bytes"]
    more = last["comparisons"] - first["comparisons"]
    print(json.dumps({"rows": rows, "bytes_a_comparison": round(grown / max(1, more))}))


def told(
    done: int, places: Places, ledger_bytes: int, begun_at: float
) -> dict[str, Any]:
    """What is held after so many comparisons, a question each."""
    page = resource.getpagesize()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * page
    recent = places._recent
    entries = sum(map(sys.getsizeof, [*recent.keys(), *recent.values()]))
    arrays = places._keys.nbytes + places._values.nbytes
    return {
        "comparisons": done,
        "rss_bytes": resident,
        "index_bytes": sys.getsizeof(recent) + entries + arrays,
        "ledger_bytes": ledger_bytes,
        "seconds": round(time.monotonic() - begun_at, 1),
    }


if __name__ == "__main__":
    asyncio.run(main([int(step) for step in sys.argv[1:]]))
