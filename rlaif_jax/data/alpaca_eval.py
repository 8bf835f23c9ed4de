"""AlpacaEval's files: its evaluation set, a model's outputs, and annotations."""

from collections.abc import Callable, Iterator
from pathlib import Path

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import Exchange, Rivals, user_turn
from rlaif_jax.data.fractions import leading
from rlaif_jax.data.sharegpt import MARKERS
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_json_list
from rlaif_jax.typing import Json

_TEXTS = ("instruction", "output", "output_1", "output_2")


def read_alpaca_eval(source: SourceConfig) -> Iterator[Exchange]:
    """The instruction of each item, with the output or the judged outputs it has.

    The evaluation set and a model's outputs on it are `test`; annotations may be drawn
    from. An annotation's answer is its `output_1`, which is the teacher's in the
    paper's files. Under `rules=clean` a preference nearer to 1 than to 2 says that
    `output_1` is better, and the reverse; a draw or none at all is counted and makes
    no pair. Under `rules=paper` whatever is not 1 says that `output_2` is better, as
    the authors' code has it, and rows with control tokens in their text are dropped.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If an item has no `instruction`, or fields of another type.
    """
    path = Path(source.path)
    items = read_json_list(path, "AlpacaEval annotation file")
    for index, item in enumerate(leading(items, source.data_fraction)):
        where = f"{path}: item {index}"
        if not isinstance(item.get("instruction"), str):
            raise CorruptDataError(f"{where} has no text 'instruction'")
        texts = [_text(item, name, where) for name in _TEXTS]
        if source.rules == "paper" and any(
            marker in text for text in texts if text for marker in MARKERS
        ):
            yield Exchange(dropped="special_token_text")
            continue
        yield _exchange(item, where, _WINNERS[source.rules])


def _exchange(
    item: Json, where: str, p_first_of: Callable[[object, str], float | None]
) -> Exchange:
    """One item, whichever file it is of."""
    messages = user_turn(item["instruction"])
    if item.get("output_1") is None and item.get("output_2") is None:
        return Exchange(
            messages,
            answer=item.get("output"),
            generator=_text(item, "generator", where),
            split="test",
        )
    for name in ("output_1", "output_2"):
        if item.get(name) is None:
            raise CorruptDataError(f"{where} has no {name!r}: is it an annotation?")
    first = (item["output_1"], str(item.get("generator_1", "output_1")))
    second = (item["output_2"], str(item.get("generator_2", "output_2")))
    p_first = p_first_of(item.get("preference"), where)
    exchange = Exchange(messages, answer=first[0], generator=first[1])
    if p_first is None or p_first == 0.5:
        return exchange._replace(undecided=1)
    if p_first < 0.5:
        first, second, p_first = second, first, 1.0 - p_first
    rivals = Rivals(
        first[0],
        second[0],
        chosen_generator=first[1],
        rejected_generator=second[1],
        judge=str(item.get("annotator", "annotations")),
        p_chosen=p_first,
        cost_usd=float(item.get("price_per_example") or 0.0),
    )
    return exchange._replace(rivals=(rivals,))


def _p_first(preference: object, where: str) -> float | None:
    """The probability that `output_1` is better; None without a verdict."""
    if preference is None or preference == -1:
        return None
    if isinstance(preference, int | float) and not isinstance(preference, bool):
        if preference == 0:  # how older files write a draw
            return 0.5
        if 1 <= preference <= 2:
            return 2.0 - preference
    raise CorruptDataError(
        f"{where}: preference is {preference!r}, not 0, 1 to 2 or null"
    )


def _paper_p_first(preference: object, where: str) -> float | None:
    """Likewise, as the paper's code reads it: a tie or a failure is `output_2`'s."""
    del where
    return 1.0 if preference == 1 else 0.0


_WINNERS: dict[str, Callable[[object, str], float | None]] = {
    "clean": _p_first,
    "paper": _paper_p_first,
}


def _text(item: Json, name: str, where: str) -> str | None:
    """A field that is text or absent."""
    value = item.get(name)
    if value is None or isinstance(value, str):
        return value
    raise CorruptDataError(f"{where}: {name!r} is {type(value).__name__}, not text")
