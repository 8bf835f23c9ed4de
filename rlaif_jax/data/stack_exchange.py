"""Questions of Stack Exchange with answers that its users scored."""

import html
import itertools
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser

import numpy as np

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import Exchange, Rivals, user_turn
from rlaif_jax.data.rows import Row, field, read_rows
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.typing import Number

_SEED = 42  # of the shuffle whose first rows are the test split, as in the paper
_TEST_FRACTION = 0.01
_BLOCKS = frozenset({"p", "pre", "br", "li", "ul", "ol", "h1", "h2", "h3", "hr"})


def read_stack_exchange(source: SourceConfig) -> Iterator[Exchange]:
    """Each question with every pair of its answers, and the best-scored answer.

    HTML is turned into text. Of N rows, the first int(0.01 N) of a shuffle by seed 42
    are `test`, as in the paper; rows come in their own order. Pairs of equal
    `pm_score` are counted as undecided. Dropped are rows of `no_answer`.

    Raises:
      CommandError: As `read_rows`; also if a row is not of this format.
    """
    num_rows = sum(1 for _ in read_rows(source))
    held_out = held_out_rows(num_rows)
    for number, row in enumerate(read_rows(source)):
        split = "test" if number in held_out else row.split
        yield _exchange(row)._replace(split=split)


def held_out_rows(num_rows: int) -> frozenset[int]:
    """Which rows are held out: what `datasets` shuffles to the front by the seed."""
    order = np.random.default_rng(_SEED).permutation(num_rows)
    return frozenset(order[: int(num_rows * _TEST_FRACTION)].tolist())


def _exchange(row: Row) -> Exchange:
    """One question."""
    scored = [(score, _plain(text)) for score, text in _answers(row)]
    if not scored:
        return Exchange(dropped="no_answer")
    rivals, undecided = [], 0
    for first, second in itertools.combinations(scored, 2):
        if first[0] == second[0]:
            undecided += 1
            continue
        chosen, rejected = (first, second) if first > second else (second, first)
        rivals.append(
            Rivals(
                chosen[1],
                rejected[1],
                "stack_exchange",
                "stack_exchange",
                judge="stack_exchange",
            )
        )
    return Exchange(
        user_turn(_plain(field(row, "question", str))),
        answer=max(scored, key=lambda one: one[0])[1],
        rivals=tuple(rivals),
        undecided=undecided,
    )


def _answers(row: Row) -> list[tuple[Number, str]]:
    """Score and text of each answer; TFDS gives a mapping of lists."""
    answers = field(row, "answers", (list, dict))
    if isinstance(answers, Mapping):
        columns = (answers.get("pm_score", ()), answers.get("text", ()))
        pairs = list(zip(*columns, strict=False))
    else:
        pairs = [(one.get("pm_score"), one.get("text")) for one in answers]
    for score, text in pairs:
        if not isinstance(score, int | float) or not isinstance(text, str):
            raise CorruptDataError(f"{row.where}: an answer needs pm_score and text")
    return pairs


class _Text(HTMLParser):
    """Collects what a page says."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def _plain(page: str) -> str:
    """The text of some HTML; text without a tag is only unescaped."""
    if "<" not in page:
        return html.unescape(page).strip()
    parser = _Text()
    parser.feed(page)
    parser.close()
    return re.sub(r"\n{3,}", "\n\n", "".join(parser.parts)).strip()
