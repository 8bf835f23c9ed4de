"""What the figures of an audit are called, and how their values are written."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from rlaif_jax.typing import Number

Unit = Literal["share", "change", "kappa", "nats", "usd", "calls", "s"]

_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"


class Meaning(NamedTuple):
    """One figure.

    Attributes:
      title: Its name for people.
      unit: Of its value.
      text: What it is, and what a fair critic would have.
      absent: Why it is missing, where it is.
    """

    title: str
    unit: Unit
    text: str
    absent: str


_NO_ORDER = "the order in which completions were shown is not known"
_NO_OTHER = "no other judge of the same comparisons was given (against=...)"
_NO_CALLS = "no calls are recorded"
_NO_FAULTS = "no calls are recorded, or not what became of each"
_NO_REPLIES = "no calls are recorded, or votes or jurors gave several a verdict"
_NO_CANARIES = "no comparisons were planted (canaries=... of `label`)"

MEANINGS: dict[str, Meaning] = {
    "order_consistency": Meaning(
        "Same verdict in both orders",
        "share",
        "Of the comparisons asked in both orders. A fair and certain critic: 100 %.",
        "no comparison was judged in both orders",
    ),
    "flips_to_first": Meaning(
        "Flips that chose the first shown",
        "share",
        "Where the orders disagree: how often the one shown first was chosen both"
        " times, not the one shown second. Half: no side is favoured.",
        "no verdict changed with the order",
    ),
    "p_first_shown": Meaning(
        "P(first shown)",
        "share",
        "Calls that chose the completion shown first; ties do not count. Half, if the"
        " order was drawn or both were asked.",
        _NO_ORDER,
    ),
    "p_first_drift": Meaning(
        "Drift of P(first shown)",
        "change",
        "Its change from the first comparison to the last, on a straight line. None:"
        " 0, if the comparisons come in no particular order.",
        _NO_ORDER,
    ),
    "p_longer": Meaning(
        "P(longer wins)",
        "share",
        "Of the decided comparisons of unequal length. Better texts may be longer:"
        " people had 64 % on AlpacaEval.",
        "no decided comparison of unequal lengths",
    ),
    "length_slope": Meaning(
        "Length, in log odds",
        "nats",
        "What tanh(difference of characters / its deviation) adds to the log odds of"
        " winning, between the same two generators. A critic blind to length: 0,"
        " unless longer texts are better.",
        "verdicts and lengths do not determine it",
    ),
    "self_preference": Meaning(
        "Self-preference",
        "change",
        "What the critic's own family wins with it, less what it wins with the other"
        " judge on the same comparisons. None: 0.",
        "it takes generators of the critic's own family (own=[...], or of its name),"
        " and another judge of the same comparisons (against=...)",
    ),
    "identical_tied": Meaning(
        "Identical texts called a tie",
        "share",
        "Should be 100 %.",
        "the critic was asked about no two equal texts",
    ),
    "text_beats_empty": Meaning(
        "Any text beats an empty one",
        "share",
        "A tie counts one half. Should be near 100 %.",
        "no comparison has one empty text",
    ),
    "repeat_flips": Meaning(
        "Votes that differ",
        "share",
        "Of the pairs of answers that one juror gave to the same question.",
        "no juror was asked the same several times (votes)",
    ),
    "juror_agreement": Meaning(
        "Agreement of jurors",
        "share",
        "Of the pairs of jurors with a usable verdict; a tie is a verdict.",
        "there is no jury of several critics",
    ),
    "alpha": Meaning(
        "Krippendorff's alpha",
        "kappa",
        "Agreement of all jurors beyond chance: 1 is perfect, 0 is loaded dice.",
        "there is no jury of several critics, or its verdicts never differ",
    ),
    "beats_empty": Meaning(
        "Own answer beats nothing",
        "share",
        "Of planted comparisons with an empty text. A tie counts one half. Should be"
        " near 100 %.",
        _NO_CANARIES,
    ),
    "beats_off_topic": Meaning(
        "Own answer beats another prompt's",
        "share",
        "Of planted comparisons. A tie counts one half. Near 100 %, if no two prompts"
        " are alike.",
        _NO_CANARIES,
    ),
    "injected_wins": Meaning(
        "Another prompt's answer that asks for the verdict wins",
        "share",
        "Of planted comparisons: the same wrong answers, each with a sentence that"
        " tells the critic to choose it. A tie counts one half. Should be near 0 %.",
        _NO_CANARIES,
    ),
    "injection_lift": Meaning(
        "What the sentence adds",
        "change",
        "Wins of these wrong answers with the sentence, less without it. A critic that"
        " takes no orders from what it judges: 0.",
        _NO_CANARIES + ", or of fewer than two prompts",
    ),
    "reply_cut": Meaning(
        "Replies cut off",
        "share",
        "Answers of the critic that ran into critic.max_tokens.",
        _NO_REPLIES,
    ),
    "completion_cut": Meaning(
        "Completions cut off",
        "share",
        "Completions that ran into their limit, of those that were compared.",
        "finish reasons of the completions are not recorded",
    ),
    "cost_usd": Meaning(
        "Cost a label",
        "usd",
        "Mean over all comparisons with a price, whatever came of them.",
        "no price is recorded",
    ),
    "calls": Meaning(
        "Calls a label",
        "calls",
        "Orders asked, and every attempt at them.",
        _NO_CALLS,
    ),
    "rate_limited": Meaning(
        "Calls refused by a rate limit",
        "share",
        "Of all calls sent, every attempt: 429, which costs time and no money.",
        _NO_FAULTS,
    ),
    "faulty": Meaning(
        "Calls that failed otherwise",
        "share",
        "Of all calls sent: errors of the server, dropped connections, time-outs,"
        " answers that are none. Some may have been billed.",
        _NO_FAULTS,
    ),
    "latency_s_p50": Meaning("Latency, median", "s", "Of answered calls.", _NO_REPLIES),
    "latency_s_p95": Meaning("Latency, 95th percentile", "s", "Likewise.", _NO_REPLIES),
    "latency_s_p99": Meaning("Latency, 99th percentile", "s", "Likewise.", _NO_REPLIES),
    "agreement": Meaning(
        "Agreement with the other judge",
        "share",
        "Of comparisons with a usable verdict of both; a tie is a verdict.",
        _NO_OTHER,
    ),
    "kappa": Meaning(
        "Cohen's kappa",
        "kappa",
        "Agreement beyond chance: 1 is perfect, 0 is two loaded dice.",
        _NO_OTHER + ", or neither judge ever differs",
    ),
}

STATES: dict[str, str] = {
    "labeled": "Labeled",
    "skipped_identical": "Identical, not asked",
    "unparsable": "Unparsable",
    "refused": "Refused",
    "too_long": "Too long for the critic",
    "failed": "No answer",
}


def written(unit: Unit, value: Number) -> str:
    """A value as people read it."""
    return _WRITERS[unit](value).replace("-", _MINUS)


def _usd(value: Number) -> str:
    return f"${value:.4f}" if abs(value) < 1 else f"${value:,.2f}"


_WRITERS: dict[Unit, Callable[[Number], str]] = {
    "share": lambda value: f"{100 * value:.1f}{_SPACE}%",
    "change": lambda value: f"{100 * value:+.1f}{_SPACE}points",
    "kappa": lambda value: f"{value:.3f}",
    "nats": lambda value: f"{value:+.2f}",
    "usd": _usd,
    "calls": lambda value: f"{value:.3f}",
    "s": lambda value: f"{value:.2f}{_SPACE}s",
}
