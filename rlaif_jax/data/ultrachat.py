"""UltraChat: dialogues that one model held with itself."""

from collections.abc import Iterator

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import Exchange, turns_of
from rlaif_jax.data.rows import Row, field, read_rows
from rlaif_jax.errors import CorruptDataError


def read_ultrachat(source: SourceConfig) -> Iterator[Exchange]:
    """The first exchange of each dialogue, with what a system said before it.

    Dropped are dialogues of `no_user_turn` and `assistant_first`.

    Raises:
      CommandError: As `read_rows`; also if a row is not of this format.
    """
    for row in read_rows(source):
        yield _exchange(row)._replace(split=row.split)


def _exchange(row: Row) -> Exchange:
    """One dialogue."""
    try:
        turns = turns_of(field(row, "messages", (list, dict)))
    except ValueError as error:
        raise CorruptDataError(f"{row.where}: {error}") from error
    roles = [turn.role for turn in turns]
    if "user" not in roles:
        return Exchange(dropped="no_user_turn")
    asked = roles.index("user")
    if "assistant" in roles[:asked]:
        return Exchange(dropped="assistant_first")
    is_answered = roles[asked + 1 : asked + 2] == ["assistant"]
    answer = turns[asked + 1].content if is_answered else None
    return Exchange(turns[: asked + 1], answer=answer)
