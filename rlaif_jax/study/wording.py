"""How figures are written for people."""

from rlaif_jax.typing import Number

MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"

_RAISED = str.maketrans(
    "-0123456789",
    "\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT ZERO}\N{SUPERSCRIPT ONE}\N{SUPERSCRIPT TWO}"
    "\N{SUPERSCRIPT THREE}\N{SUPERSCRIPT FOUR}\N{SUPERSCRIPT FIVE}\N{SUPERSCRIPT SIX}"
    "\N{SUPERSCRIPT SEVEN}\N{SUPERSCRIPT EIGHT}\N{SUPERSCRIPT NINE}",
)

_FRACTIONS = ("accuracy", "_rate")  # endings of measures between 0 and 1


def points(value: Number, *, signed: bool = False) -> str:
    """Percentage points with one decimal; `signed` shows a plus too."""
    rounded = round(value, 1) + 0.0  # no negative zero
    sign = MINUS if rounded < 0 else "+" if signed and rounded > 0 else ""
    return f"{sign}{abs(rounded):.1f}"


def percent(value: Number) -> str:
    """A percentage with one decimal, on one line."""
    return f"{points(value)}{_SPACE}%"


def number(value: Number) -> str:
    """A number with two decimals and a real minus sign."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", MINUS)


def p_value(value: Number) -> str:
    """A probability with two significant digits, and none where it is tiny."""
    if value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if value < 0.01 else f"{value:.2f}"


def interval(low: Number, high: Number) -> str:
    """Two ends in percentage points, such as `9.0 to 16.2`."""
    return f"{points(low)} to {points(high)}"


def usd(value: Number) -> str:
    """US dollars: cents from a cent up, two significant digits below."""
    if value == 0:
        return "$0"
    if value < 0.01:
        return f"${value:.2g}" if value >= 1e-4 else "< $0.0001"
    return f"${value:,.2f}" if value < 1000 else f"${value:,.0f}"


def flops(value: Number) -> str:
    """Floating-point operations in powers of ten, with one decimal."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    times = f"{_SPACE}\N{MULTIPLICATION SIGN}{_SPACE}10"
    return f"{mantissa}{times}{str(int(exponent)).translate(_RAISED)}"


def duration(seconds: Number) -> str:
    """A time in the unit that keeps it short."""
    if seconds < 90:
        return (
            f"{seconds:.0f}{_SPACE}s"
            if seconds >= 10 or seconds == 0
            else f"{seconds:.1f}{_SPACE}s"
        )
    if seconds < 5400:
        return f"{seconds / 60:.1f}{_SPACE}min"
    return f"{seconds / 3600:,.1f}{_SPACE}h"


def measure_name(name: str) -> str:
    """The column head of a measure: `true_reward` becomes `True reward`.

    The model in `by_MODEL_rate` is called what it is called.
    """
    if name.startswith("by_") and name.endswith("_rate"):
        return f"By {name.removeprefix('by_').removesuffix('_rate')}"
    return name.removesuffix("_rate").replace("_", " ").capitalize()


def measure_value(name: str, value: Number) -> str:
    """A measure's value: a percentage if its name says that it is a share."""
    if name.endswith(_FRACTIONS):
        return percent(100 * value)
    return f"{value:,.3g}".replace("-", MINUS)


def plural(count: int, noun: str) -> str:
    """A count with its noun: `1 seed`, `2,000 prompts`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
