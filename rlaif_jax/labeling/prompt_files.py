"""Judging prompts in files of the user's."""

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from rlaif_jax.config_base import Config
from rlaif_jax.config_file import read_yaml, validate
from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.prompts import Template
from rlaif_jax.labeling.verdicts import LABELS, LineGrammar
from rlaif_jax.records import Message


class TemplateFile(Config):
    """A YAML file with the turns of a question, and what counts as a reply to it."""

    messages: tuple[Message, ...]  # with {instruction}, {output_a}, {output_b}
    labels: tuple[str, str] = LABELS  # for {output_a} and {output_b}, in this order
    verdict_line: Literal["first", "final"] = "first"  # final: free text before it

    @model_validator(mode="after")
    def _distinct_labels(self) -> "TemplateFile":
        for label in self.labels:
            if label != label.strip() or len(label.splitlines()) != 1:
                raise ValueError(
                    f"a label is one line, without blanks at ends: {label!r}"
                )
        one, other = self.labels
        if one.startswith(other) or other.startswith(one):
            raise ValueError(f"one label begins like the other: {one!r} and {other!r}")
        return self


def read_template(path: Path) -> Template:
    """The template in a file.

    Raises:
      UsageError: If it is missing, or is no template; the message names the file.
    """
    document = read_yaml(path)
    try:
        file = validate(TemplateFile, document)
        grammar = LineGrammar(labels=file.labels, line=file.verdict_line)
        return Template.create(str(path), file.messages, grammar)
    except (UsageError, ValueError) as error:
        raise UsageError(f"{path} is no template: {error}") from error
