"""Verdicts that a server lets a critic say, and nothing else.

A server that knows the option samples only what is allowed; one that does not may
ignore it without a word, so `probing` makes sure before the run.
"""

import json
from dataclasses import dataclass, replace

from rlaif_jax.config_endpoints import Constrain, CriticConfig, EndpointConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.prompts import Template
from rlaif_jax.labeling.verdicts import Choice, Fork, Grammar, first_difference
from rlaif_jax.records import content_hash
from rlaif_jax.typing import Json

Choices = tuple[str, str]  # the whole replies that mean (a) and (b)

# of a decision, and part of its key: changing a word asks everything again
INSTRUCTIONS = "Answer the last message of the input with one of the choices."

_KEY = "verdict"  # of the object that a schema allows


@dataclass(frozen=True)
class ExactGrammar:
    """A verdict is a reply that is one of the choices, to the last character."""

    choices: Choices
    needs_end: bool = False
    has_forks: bool = True

    def choice(self, reply: str) -> Choice | None:
        """The answer that the critic chose; None if the reply is no choice."""
        return _chosen(self.choices, reply)

    def fork(self, reply: str) -> Fork | None:
        """The first character in which the choices differ."""
        return None if self.choice(reply) is None else _fork("", *self.choices)


@dataclass(frozen=True)
class JsonGrammar:
    """A verdict is a JSON object with one key, whose value is one of the choices."""

    choices: Choices
    needs_end: bool = True
    has_forks: bool = True

    def choice(self, reply: str) -> Choice | None:
        """The answer that the critic chose; None if the reply is no such object."""
        try:
            pairs = json.loads(reply, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            return None
        if not isinstance(pairs, _Pairs) or [key for key, _ in pairs] != [_KEY]:
            return None
        return _chosen(self.choices, pairs[0][1])

    def fork(self, reply: str) -> Fork | None:
        """The first character in which the value differs from the other choice."""
        if self.choice(reply) is None:
            return None
        reply = reply.strip()
        for is_ascii in (False, True):
            pair = [json.dumps(one, ensure_ascii=is_ascii) for one in self.choices]
            for value in pair:
                head, found, _ = reply.rpartition(value)
                if found:
                    return _fork(head, *pair)
        return None  # it is spelled with escapes that nobody needs


class _Pairs(list[tuple[str, object]]):
    """An object's keys and values as they were written, repeated ones too."""


_GRAMMARS = {"structured_outputs": ExactGrammar, "json_schema": JsonGrammar}


def constrained(template: Template, how: Constrain) -> Template:
    """The template with the grammar of the replies that a server then allows.

    Raises:
      UsageError: If its verdict is not a whole reply, so that nothing may stand before.
    """
    if how == "none":
        return template
    choices = whole_choices(template, f"constrain={how}")
    grammar: Grammar = _GRAMMARS[how](choices)
    digest = content_hash("constrained", how, repr(grammar), template.hash)
    return replace(template, grammar=grammar, hash=digest)


def whole_choices(template: Template, wanted_by: str) -> Choices:
    """The two replies that a template wants, where they are verdicts as a whole.

    Raises:
      UsageError: If they are not.
    """
    if template.grammar.choices is None:
        raise UsageError(
            f"{wanted_by} does not go with template {template.name}: it needs one whose"
            " reply is a verdict and nothing else, such as template=verdict"
        )
    return template.grammar.choices


def constraint_of(
    config: EndpointConfig, choices: Choices | None
) -> tuple[Constrain, Choices] | None:
    """What a config wants of the server, and the replies to allow; None if nothing."""
    if not isinstance(config, CriticConfig) or config.constrain == "none":
        return None
    assert choices is not None  # `constrained` has refused the template else
    return config.constrain, choices


def verdict_schema(choices: Choices) -> Json:
    """The JSON schema of an object that holds one of the choices."""
    return {
        "type": "object",
        "properties": {_KEY: {"type": "string", "enum": [*choices]}},
        "required": [_KEY],
        "additionalProperties": False,
    }


def _chosen(choices: Choices, value: object) -> Choice | None:
    """Which of the choices a value is."""
    if value == choices[0]:
        return "a"
    return "b" if value == choices[1] else None


def _fork(head: str, one: str, other: str) -> Fork:
    """Where two texts that may follow a head first differ."""
    place = first_difference(one, other)
    before = (head + one[:place]).encode("utf-8", "surrogatepass")
    return Fork(len(before), (one[place:], other[place:]))
