"""What a critic's reply says, by a strict grammar.

A reply counts only if one line of it is a verdict and nothing else. Searching a reply
for the first label it mentions would favour Output (a) whenever a critic quotes both.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

Choice = Literal["a", "b"]

LABELS = ("Output (a)", "Output (b)")
_SHORT = {"Output (a)": ("(a)", "a"), "Output (b)": ("(b)", "b")}
_FINAL_WORD = "Verdict: "  # may stand before a verdict in the final line


class Fork(NamedTuple):
    """Where a reply could have become the other verdict.

    Attributes:
      place: Bytes of the reply before it, blanks at the reply's ends aside.
      tails: How the verdicts for (a) and for (b) go on from there.
    """

    place: int
    tails: tuple[str, str]


@runtime_checkable
class Grammar(Protocol):
    """Reads a verdict; its `repr` tells its rules, for a template's hash."""

    @property
    def needs_end(self) -> bool:
        """Whether a reply that was cut off says nothing."""
        ...

    @property
    def has_forks(self) -> bool:
        """Whether `fork` can ever tell a place."""
        ...

    @property
    def choices(self) -> tuple[str, str] | None:
        """What stands for (a) and (b) as a whole reply; None if it is but a part."""
        ...

    def choice(self, reply: str) -> Choice | None:
        """The answer that the critic chose; None if the reply is not a verdict."""
        ...

    def fork(self, reply: str) -> Fork | None:
        """Where the verdict was decided; None if there is no such place."""
        ...


@dataclass(frozen=True)
class LineGrammar:
    """A verdict is a line that holds a label and nothing else.

    Attributes:
      labels: What stands for (a) and for (b), perhaps with a full stop. `Output (a)`
        may be shortened to `(a)` and `a`.
      line: `first`: the first line is the verdict, and no later line begins with the
        other one. `final`: the last line is, whatever stands before it.
    """

    labels: tuple[str, str] = LABELS
    line: Literal["first", "final"] = "first"

    @property
    def needs_end(self) -> bool:
        """Whether the verdict is at the end."""
        return self.line == "final"

    @property
    def has_forks(self) -> bool:
        """Whether the verdict is at the beginning."""
        return self.line == "first"

    @property
    def choices(self) -> tuple[str, str] | None:
        """The labels, unless something may stand before them."""
        return self.labels if self.line == "first" else None

    def choice(self, reply: str) -> Choice | None:
        """The answer that the critic chose; None if the reply is not a verdict."""
        lines = _lines(reply)
        if not lines:
            return None
        if self.line == "final":
            return self._said(lines[-1].removeprefix(_FINAL_WORD))
        choice = self._said(lines[0])
        if choice is None:
            return None
        other = self.labels[1] if choice == "a" else self.labels[0]
        is_taken_back = any(_begins_with(other, line) for line in lines[1:])
        return None if is_taken_back else choice

    def fork(self, reply: str) -> Fork | None:
        """The first character in which the verdict differs from the other one."""
        if not self.has_forks or self.choice(reply) is None:
            return None
        said = _lines(reply)[0]
        for pair in zip(*map(_forms, self.labels), strict=True):
            if said in pair:
                place = first_difference(*pair)
                before = len(said[:place].encode("utf-8", "surrogatepass"))
                return Fork(before, (pair[0][place:], pair[1][place:]))
        return None

    def _said(self, line: str) -> Choice | None:
        """The verdict that a line is."""
        if line in _forms(self.labels[0]):
            return "a"
        return "b" if line in _forms(self.labels[1]) else None


def _lines(reply: str) -> list[str]:
    """The lines of a reply, without blanks around them."""
    return [line.strip() for line in reply.strip().splitlines()]


def _forms(label: str) -> tuple[str, ...]:
    """Every way to say a label; as many, in the same order, for both labels."""
    if label not in _SHORT:
        return label, f"{label}."
    bracketed, letter = _SHORT[label]
    return label, f"{label}.", bracketed, f"{bracketed}.", letter


def _begins_with(label: str, line: str) -> bool:
    """Whether a line is a label, or goes on after one."""
    heads = [form for form in _forms(label) if not form.isalnum() or form == label]
    for head in heads:
        rest = line.removeprefix(head)
        if rest != line and not (head[-1].isalnum() and rest[:1].isalnum()):
            return True
    return line in _forms(label)


def first_difference(one: str, other: str) -> int:
    """The index of the first character in which two texts differ."""
    pairs = zip(one, other, strict=False)
    return next(index for index, (x, y) in enumerate(pairs) if x != y)
