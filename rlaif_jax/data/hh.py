"""Anthropic's HH: people's choices between two ends of one dialogue."""

import re
from collections.abc import Iterator

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import Exchange, Rivals
from rlaif_jax.data.rows import field, read_rows
from rlaif_jax.records import Message

_CUE = "\n\nAssistant:"
_SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def read_hh(source: SourceConfig) -> Iterator[Exchange]:
    """Each dialogue up to the assistant's last turn, and the two turns to choose from.

    The prompt is the chosen text up to its last `Assistant:`. Dropped are
    `no_dialogue` (no such cue, or text before the first speaker) and
    `different_prompts` (the rejected text does not begin with the same prompt).

    Raises:
      CommandError: As `read_rows`; also if a row is not of this format.
    """
    for row in read_rows(source):
        chosen, rejected = field(row, "chosen", str), field(row, "rejected", str)
        yield _exchange(chosen, rejected)._replace(split=row.split)


def _exchange(chosen: str, rejected: str) -> Exchange:
    """One row."""
    end = chosen.rfind(_CUE)
    before, *turns = _SPEAKER.split(chosen[: max(end, 0)])
    if end < 0 or before or not turns:
        return Exchange(dropped="no_dialogue")
    end += len(_CUE)
    if not rejected.startswith(chosen[:end]):
        return Exchange(dropped="different_prompts")
    messages = tuple(
        Message.model_validate({"role": _ROLES[speaker], "content": text})
        for speaker, text in zip(turns[::2], turns[1::2], strict=True)
    )
    # the space after the cue is the dialogue's, not the assistant's
    kept, refused = (text[end:].removeprefix(" ") for text in (chosen, rejected))
    rivals = Rivals(kept, refused, "hh", "hh", judge="hh")
    return Exchange(messages, answer=kept, rivals=(rivals,))
