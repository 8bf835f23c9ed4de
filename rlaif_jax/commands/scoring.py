"""What an external scorer says of completions: true rewards, where truth is known."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.records import Completion, Prompt
from rlaif_jax.typing import Json

_SCORER_TIMEOUT_S = 60.0


def score(
    url: str, prompts: Mapping[str, Prompt], written: Mapping[str, Completion]
) -> list[Json]:
    """What an external scorer says of each completion.

    Raises:
      CorruptDataError: If it does not answer with one mapping a completion.
    """
    items = [
        {
            "messages": [m.model_dump() for m in prompts[c.prompt_id].messages],
            "text": c.text,
            "finish_reason": c.finish_reason,
        }
        for c in written.values()
    ]
    request = urllib.request.Request(
        url, json.dumps(items).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SCORER_TIMEOUT_S) as response:
            scores = json.load(response)
    except (urllib.error.URLError, json.JSONDecodeError) as error:
        raise CorruptDataError(
            f"the scorer at {url} gave no scores: {error}"
        ) from error
    if not isinstance(scores, list) or len(scores) != len(items):
        raise CorruptDataError(f"the scorer at {url} did not give {len(items)} scores")
    return scores


def means(scores: Sequence[Json]) -> dict[str, float]:
    """The mean of every figure that all completions have."""
    if not scores:
        return {}
    names = [name for name, v in scores[0].items() if isinstance(v, int | float)]
    return {name: sum(s[name] for s in scores) / len(scores) for name in names}


def family_accuracy(scores: Sequence[Json]) -> dict[str, float]:
    """The mean accuracy of each family of tasks that the scorer names."""
    groups: dict[str, list[float]] = {}
    for score in scores:
        if "family" in score and "accuracy" in score:
            groups.setdefault(score["family"], []).append(score["accuracy"])
    return {name: sum(v) / len(v) for name, v in sorted(groups.items())}
