"""How a conversation is written down as the text that a model continues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import NamedTuple

from rlaif_jax.data.tokenizer import Tokenizer
from rlaif_jax.errors import UsageError
from rlaif_jax.records import Message

# Where a message's text stands in a rendered chat: Unicode never assigns these.
_MARK = "\ufdd0{}\ufdd1"


class PromptText(NamedTuple):
    """A rendered prompt: frame[0], contents[0], frame[1], ..., frame[-1].

    Who wrote what stays visible, so that the front of the last content (the user's
    text) can be cut while the frame's last part (the cue to answer) cannot, and text
    of the contents is never read as a control token.
    """

    frame: tuple[str, ...]  # the template's own words; one more than contents
    contents: tuple[str, ...]  # the messages' texts

    @property
    def text(self) -> str:
        """The whole prompt."""
        parts = zip_longest(self.frame, self.contents, fillvalue="")
        return "".join(chain.from_iterable(parts))

    @property
    def content_ranges(self) -> tuple[range, ...]:
        """Which characters of the text each content takes."""
        ranges, start = [], 0
        for before, content in zip(self.frame, self.contents, strict=False):
            start += len(before)
            ranges.append(range(start, start + len(content)))
            start += len(content)
        return tuple(ranges)


@dataclass(frozen=True, kw_only=True)
class TurnTemplate:
    """A template of plain text: what stands around each turn, and the cue.

    Attributes:
      before: Role to the text before its content.
      after: Role to the text after its content.
      cue: What stands last, where the completion begins.
    """

    before: Mapping[str, str]
    after: Mapping[str, str]
    cue: str


# The paper's (Sharma et al. 2024, arXiv:2402.12366, Appendix A) as its code has it:
# no newlines in front, a space after the cue.
TEXT_TEMPLATES: Mapping[str, TurnTemplate] = {
    "human_assistant": TurnTemplate(
        before={"system": "", "user": "Human: ", "assistant": "Assistant: "},
        after={"system": "\n\n", "user": "\n\n", "assistant": "\n\n"},
        cue="Assistant: ",
    ),
    "question_answer": TurnTemplate(
        before={"system": "", "user": "Q: ", "assistant": "A: "},
        after={"system": "\n\n", "user": "\n", "assistant": "\n\n"},
        cue="A: ",
    ),
}


def render_prompt(
    template: str, messages: Sequence[Message], tokenizer: Tokenizer
) -> PromptText:
    """The prompt as text, with its parts told apart.

    Args:
      template: A name of `TEXT_TEMPLATES`, or `chat` for the tokenizer's own.
      messages: The conversation; it ends with the user's turn.
      tokenizer: Asked for its chat template only.

    Raises:
      UsageError: If the last turn is not the user's, or the chat template is missing
        or cannot render these messages.
    """
    if not messages or messages[-1].role != "user":
        roles = [message.role for message in messages]
        raise UsageError(f"a prompt must end with the user's turn, not {roles}")
    if template == "chat":
        return _render_chat(messages, tokenizer)
    return _render_turns(TEXT_TEMPLATES[template], messages)


def _render_turns(template: TurnTemplate, messages: Sequence[Message]) -> PromptText:
    """Plain text around each turn."""
    frame, between = [], ""
    for message in messages:
        frame.append(between + template.before[message.role])
        between = template.after[message.role]
    contents = tuple(message.content for message in messages)
    return PromptText((*frame, between + template.cue), contents)


def _render_chat(messages: Sequence[Message], tokenizer: Tokenizer) -> PromptText:
    """The tokenizer's chat template, taken apart at marks put in place of the texts."""
    texts = [message.content for message in messages]
    rendered = _apply(tokenizer, messages, texts)
    rest = _apply(tokenizer, messages, [_MARK.format(i) for i in range(len(texts))])
    frame = []
    for i in range(len(texts)):
        before, mark, rest = rest.partition(_MARK.format(i))
        if not mark:
            raise UsageError(
                f"the chat template leaves out message {i}: {texts[i]!r:.60}"
            )
        frame.append(before)
    frame = (*frame, rest)
    # templates either keep the white space around a text or strip it
    for contents in (tuple(texts), tuple(text.strip() for text in texts)):
        prompt = PromptText(frame, contents)
        if prompt.text == rendered:
            return prompt
    raise UsageError(
        f"the chat template rewrites what users say, as in {texts[-1]!r:.60}:"
        " choose tokens.template=human_assistant"
    )


def _apply(
    tokenizer: Tokenizer, messages: Sequence[Message], texts: Sequence[str]
) -> str:
    """The chat template on the messages' roles with these texts."""
    from jinja2 import TemplateError  # comes with transformers' chat templates

    if not tokenizer.chat_template:
        raise UsageError(
            "the tokenizer has no chat template: choose tokens.template=human_assistant"
        )
    conversation = [
        {"role": message.role, "content": text}
        for message, text in zip(messages, texts, strict=True)
    ]
    try:
        return tokenizer.apply_chat_template(
            conversation, tokenize=False, add_generation_prompt=True
        )
    except TemplateError as error:
        raise UsageError(f"the chat template refuses a prompt: {error}") from error
