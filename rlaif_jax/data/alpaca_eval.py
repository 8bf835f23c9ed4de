"""AlpacaEval's files: its evaluation set, a model's outputs, and annotations."""

from collections.abc import Callable, Iterator
from pathlib import Path

from rlaif_jax.annotations import Judgment, judgment_of
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
      CorruptDataError: If an item has no `instruction`, an annotation no `preference`,
        or fields are of another type.
    """
    path = Path(source.path)
    items = read_json_list(path, "AlpacaEval annotation file")
    for number, item in enumerate(leading(items, source.data_fraction)):
        if not isinstance(item.get("instruction"), str):
            raise CorruptDataError(f"{path} row {number} has no text 'instruction'")
        texts = [_text(item, name, f"{path} row {number}") for name in _TEXTS]
        if source.rules == "paper" and any(
            marker in text for text in texts if text for marker in MARKERS
        ):
            yield Exchange(dropped="special_token_text")
        elif item.get("output_1") is None and item.get("output_2") is None:
            yield Exchange(
                user_turn(item["instruction"]),
                answer=item.get("output"),
                generator=_text(item, "generator", f"{path} row {number}"),
                split="test",
            )
        else:
            judgment = judgment_of(path, number, item)
            yield _annotation(judgment, _P_FIRST[source.rules](judgment.preference))


def _annotation(judgment: Judgment, p_first: float | None) -> Exchange:
    """One judged pair."""
    first = (judgment.output_1, judgment.generator_1)
    second = (judgment.output_2, judgment.generator_2)
    messages = user_turn(judgment.instruction)
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
        judge=judgment.annotator,
        p_chosen=p_first,
        cost_usd=judgment.cost_usd,
    )
    return exchange._replace(rivals=(rivals,))


def _p_first(preference: float | None) -> float | None:
    """The probability that `output_1` is better; None without a verdict."""
    return None if preference is None else 2.0 - preference


def _paper_p_first(preference: float | None) -> float | None:
    """Likewise, as the paper's code reads it: a tie or a failure is `output_2`'s."""
    return 1.0 if preference == 1 else 0.0


_P_FIRST: dict[str, Callable[[float | None], float | None]] = {
    "clean": _p_first,
    "paper": _paper_p_first,
}


def _text(item: Json, name: str, where: str) -> str | None:
    """A field that is text or absent."""
    value = item.get(name)
    if value is None or isinstance(value, str):
        return value
    raise CorruptDataError(f"{where}: {name!r} is {type(value).__name__}, not text")
