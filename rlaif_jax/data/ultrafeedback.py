"""UltraFeedback, binarized: two models' answers, the one that GPT-4 rated higher."""

from collections.abc import Iterator

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import Exchange, Rivals, turns_of
from rlaif_jax.data.rows import Row, field, read_rows
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.records import Message

_JUDGE = "ultrafeedback"
_SIDES = ("chosen", "rejected")


def read_ultrafeedback(source: SourceConfig) -> Iterator[Exchange]:
    """Each prompt with its chosen and rejected answer.

    Either is a conversation that ends with the answer, or text that begins with the
    prompt, which is taken off. Dropped are rows of `different_prompts`. Where both
    have the same score (`score_chosen`, `score_rejected`), nobody won.

    Raises:
      CommandError: As `read_rows`; also if a row is not of this format.
    """
    for row in read_rows(source):
        yield _exchange(row)._replace(split=row.split)


def _exchange(row: Row) -> Exchange:
    """One row."""
    asked, chosen = _ended(row, "chosen")
    asked_too, rejected = _ended(row, "rejected")
    if asked != asked_too:
        return Exchange(dropped="different_prompts")
    if _is_draw(row):
        return Exchange(asked, answer=chosen, undecided=1)
    rivals = Rivals(chosen, rejected, _JUDGE, _JUDGE, judge=_JUDGE)
    return Exchange(asked, answer=chosen, rivals=(rivals,))


def _is_draw(row: Row) -> bool:
    """Whether the scores are there and equal; some editions have none."""
    if row.fields.get("score_chosen") is None:
        return False
    scores = [field(row, f"score_{side}", (int, float)) for side in _SIDES]
    return scores[0] == scores[1]


def _ended(row: Row, name: str) -> tuple[tuple[Message, ...], str]:
    """The prompt of one side, and how that side answers it."""
    value = field(row, name, (str, list, dict))
    if isinstance(value, str):
        prompt = field(row, "prompt", str)
        asked = (Message(role="user", content=prompt),)
        return asked, value.removeprefix(prompt)
    try:
        turns = turns_of(value)
    except ValueError as error:
        raise CorruptDataError(f"{row.where}: {name}: {error}") from error
    if not turns or turns[-1].role != "assistant":
        raise CorruptDataError(f"{row.where}: {name!r} does not end with an answer")
    return turns[:-1], turns[-1].content
