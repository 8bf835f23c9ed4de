"""A judging prompt with holes for a comparison, and the grammar of the reply to it."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rlaif_jax.labeling.control_tokens import without_control_tokens
from rlaif_jax.labeling.verdicts import Grammar
from rlaif_jax.records import Comparison, Message, content_hash

_VERSION = 1  # of what is done to the texts; part of every hash
_TEXTS = ("instruction", "output_a", "output_b")
_HOLE = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, kw_only=True)
class Template:
    """Turns with holes, filled in one pass: no text can open another hole.

    The holes are `{instruction}`, `{output_a}`, `{output_b}` and `{nonce}`: 16 hex
    digits that none of the texts could have been written to contain.

    Attributes:
      name: As a config names it.
      turns: The chat. Only these are turns, whatever the texts contain.
      grammar: Reads the reply.
      hash: Of all that can change a verdict: the words, the grammar, the cleaning.
      clean: What is done to each text before it is filled in.
    """

    name: str
    turns: tuple[Message, ...]
    grammar: Grammar
    hash: str
    clean: Callable[[str], str] = without_control_tokens

    @classmethod
    def create(
        cls, name: str, turns: Sequence[Message], grammar: Grammar
    ) -> "Template":
        """A template whose hash is that of its words and its grammar.

        Raises:
          ValueError: If a text has no hole, or a hole has no text; or if the turns
            are no question.
        """
        turns = tuple(turns)
        require_turns(turns)
        require_holes(turns, _TEXTS, _TEXTS)
        words = [(turn.role, turn.content) for turn in turns]
        digest = content_hash("template", _VERSION, words, repr(grammar))
        return cls(name=name, turns=turns, grammar=grammar, hash=digest)

    def messages(self, comparison: Comparison, *, swapped: bool) -> tuple[Message, ...]:
        """The chat that asks which completion is better.

        Args:
          comparison: What to judge.
          swapped: Whether the second completion is shown as (a).
        """
        first, second = comparison.first.text, comparison.second.text
        shown = (second, first) if swapped else (first, second)
        texts = [
            self.clean(text) for text in (instruction_text(comparison.messages), *shown)
        ]
        return filled(self.turns, dict(zip(_TEXTS, texts, strict=True)), salt=self.hash)


def require_turns(turns: Sequence[Message]) -> None:
    """Makes sure that turns are a question.

    Raises:
      ValueError: If they are not.
    """
    if not turns or turns[-1].role != "user":
        raise ValueError("the last turn must be the user's")
    if any(turn.role == "system" for turn in turns[1:]):
        raise ValueError("only the first turn may be the system's")


def require_holes(
    turns: Sequence[Message], texts: Sequence[str], needed: Sequence[str]
) -> None:
    """Makes sure that turns have the holes they need, and only those that are filled.

    Raises:
      ValueError: If a hole has no text, or a text that is needed has no hole.
    """
    holes = {hole for turn in turns for hole in _HOLE.findall(turn.content)}
    if unknown := holes - {*texts, "nonce"}:
        raise ValueError(
            f"unknown placeholder {{{min(unknown)}}}: the known ones are"
            f" {', '.join(f'{{{name}}}' for name in (*texts, 'nonce'))}"
        )
    if missing := [text for text in needed if text not in holes]:
        raise ValueError(f"no placeholder {{{missing[0]}}}")


def filled(
    turns: Sequence[Message], texts: Mapping[str, str], *, salt: str
) -> tuple[Message, ...]:
    """The turns with every hole filled, `{nonce}` by a hash that no text can hold.

    Args:
      turns: With holes.
      texts: What goes into each.
      salt: Part of the hash.
    """
    filling = dict(texts, nonce=_nonce(salt, list(texts.values())))
    return tuple(
        Message(
            role=turn.role,
            content=_HOLE.sub(lambda hole: filling[hole[1]], turn.content),
        )
        for turn in turns
    )


def _nonce(salt: str, texts: Sequence[str]) -> str:
    """A hash of all texts: changing one to contain it changes it."""
    digest = hashlib.sha256(salt.encode())
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()[:16]


def instruction_text(messages: Sequence[Message]) -> str:
    """The conversation as one text; a lone user's turn is its content, unchanged."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in messages)
