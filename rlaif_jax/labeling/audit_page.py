"""The audit as one HTML file that needs nothing else, with every comparison in it.

What models wrote never becomes markup: figures are escaped by the template, and the
comparisons stand in the page as JSON, which its script turns into text nodes. The
page's policy runs no script and loads no style but those that carry its nonce, and
nothing from anywhere.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from rlaif_jax.files import write_atomic
from rlaif_jax.labeling.audit import Audit, lines
from rlaif_jax.labeling.canaries import is_half_empty, is_identical
from rlaif_jax.labeling.critic import verdict_of
from rlaif_jax.labeling.intervals import Measure
from rlaif_jax.labeling.judged import Call, Judged, judged_key
from rlaif_jax.labeling.meanings import MEANINGS, written
from rlaif_jax.labeling.order_bias import NUM_BLOCKS, is_flip
from rlaif_jax.pages import page_environment
from rlaif_jax.records import Verdict, content_hash
from rlaif_jax.typing import Json

VERDICTS = [verdict.value for verdict in Verdict]
FLAGS = (  # of a comparison; the page can show those alone that have one
    "flipped with the order",
    "the shorter won",
    "the longer won",
    "the judges differ",
    "identical texts",
    "one text is empty",
    "a text was cut off",
)


def write_audit_page(
    path: Path,
    found: Audit,
    judged: Sequence[Judged],
    *,
    other: Mapping[str, float | None] | None = None,
) -> None:
    """Writes the page of an audit.

    Args:
      path: The file.
      found: The figures.
      judged: The comparisons that they are of.
      other: The other judge's, if there was one.
    """
    text = _script_json(page_data(judged, other=other or {}))
    # no text can contain its own page's nonce
    nonce = content_hash("audit page", found.model_dump(), text)
    page = _environment().get_template("audit.html")
    html = page.render(
        audit=found,
        lines=lines(found),
        meanings=MEANINGS,
        num_blocks=NUM_BLOCKS,
        nonce=nonce,
        data=Markup(text),
    )
    write_atomic(path, html)


def page_data(
    judged: Sequence[Judged], *, other: Mapping[str, float | None]
) -> dict[str, Any]:
    """The comparisons, each text once, as the page's script reads them.

    Returns:
      texts and names: what rows and calls refer to by place. rows: prompt, first,
      second (texts); their generators, state, critic (names); verdict, p_first, flags
      (a bit each), cost in USD, the other judge's verdict; calls. calls: whether
      swapped, verdict, reply (text), seconds; null is not known.
    """
    texts, names = _Places(), _Places()
    rows = []
    for one in judged:
        comparison, label = one.comparison, one.label
        theirs = other.get(judged_key(one)) if other else None
        rows.append(
            [
                texts.of(one.instruction),
                texts.of(comparison.first.text),
                texts.of(comparison.second.text),
                names.of(comparison.first.generator),
                names.of(comparison.second.generator),
                names.of(label.state),
                names.of(label.critic),
                VERDICTS.index(label.verdict.value),
                label.p_first,
                _flags(one, theirs),
                label.cost_usd,
                None if theirs is None else VERDICTS.index(verdict_of(theirs).value),
                [_call(call, texts) for call in one.calls],
            ]
        )
    return {
        "texts": list(texts.numbers),
        "names": list(names.numbers),
        "verdicts": VERDICTS,
        "flags": FLAGS,
        "rows": rows,
    }


class _Places:
    """Numbers texts in the order in which they come."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))


def _call(call: Call, texts: _Places) -> list[Any]:
    seconds = None if call.latency_s is None else round(call.latency_s, 3)
    reply = texts.of(call.reply) if call.reply else None
    return [call.swapped, VERDICTS.index(call.verdict.value), reply, seconds]


def _flags(one: Judged, theirs: float | None) -> int:
    """A bit for each of FLAGS that the comparison has."""
    p_first, verdict = one.label.p_first, one.label.verdict
    longer = len(one.comparison.first.text) - len(one.comparison.second.text)
    won = 0.0 if p_first is None else (p_first - 0.5) * longer
    differ = theirs is not None and verdict not in (Verdict.FAILED, verdict_of(theirs))
    flags = (
        is_flip(one.calls),
        won < 0,
        won > 0,
        differ,
        is_identical(one),
        is_half_empty(one),
        one.num_cut > 0,
    )
    return sum(1 << bit for bit, flag in enumerate(flags) if flag)


def _script_json(document: Json) -> str:
    """JSON that cannot end the script element it stands in: ASCII without markup."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _environment() -> jinja2.Environment:
    """The template, with what it writes figures with."""
    environment = page_environment(Path(__file__).parent)
    environment.filters["percent"] = _percent
    environment.globals |= {"written": written, "interval": _interval}
    return environment


def _percent(value: float) -> str:
    """A place on a strip from 0 to 1, as SVG writes it."""
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


def _interval(unit: Any, measure: Measure) -> str:
    """Both ends."""
    return f"{written(unit, measure.low)} to {written(unit, measure.high)}"
