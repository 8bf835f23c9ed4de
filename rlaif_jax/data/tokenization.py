"""Prompts and completions as token ids, cut to size where nothing is lost by it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rlaif_jax.config_parts import TokensConfig
from rlaif_jax.data.templates import PromptText, render_prompt
from rlaif_jax.data.tokenizer import (
    Tokenizer,
    leading_ids,
    special_texts,
)
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.records import Message


class _Token(NamedTuple):
    """An id, and the characters of the text that it stands for."""

    id: int
    start: int
    end: int


def encode_prompt(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    config: TokensConfig,
    *,
    counts: Counter[str] | None = None,
) -> list[int]:
    """Ids of a prompt, at most `max_prompt_tokens`, that end with the whole cue.

    Encoded apart from the completion, without the tokenizer's special tokens; one at
    the beginning is put there by the chat template, or else here if the tokenizer's
    own post-processor has one. A prompt that is too long loses its oldest turns, then
    the front of the user's text: the paper's code cut the cue off some of its data
    sets, and a model that is not asked to answer does not (arXiv:2402.12366). What is
    left is encoded anew, so it may come out a few tokens under the limit.

    Args:
      tokenizer: With offsets, as `load_tokenizer` returns.
      messages: The conversation; it ends with the user's turn.
      config: Template and limits.
      counts: If given, `prompts` and `prompts_truncated` are counted there.

    Raises:
      UsageError: If the template alone fills `max_prompt_tokens`.
    """
    kept = list(messages)
    leading = leading_ids(tokenizer) if config.template != "chat" else ()
    room = config.max_prompt_tokens - len(leading)
    prompt = render_prompt(config.template, kept, tokenizer)
    tokens = _encode(tokenizer, prompt)
    truncated = len(tokens) > room
    while len(tokens) > room and (shorter := _without_oldest_turn(kept)):
        kept = shorter
        prompt = render_prompt(config.template, kept, tokenizer)
        tokens = _encode(tokenizer, prompt)
    while len(tokens) > room:
        prompt = _with_front_cut(prompt, tokens, len(tokens) - room)
        tokens = _encode(tokenizer, prompt)
    if counts is not None:
        counts["prompts"] += 1
        counts["prompts_truncated"] += truncated
    return [*leading, *(token.id for token in tokens)]


def encode_completion(
    tokenizer: Tokenizer,
    text: str,
    finish_reason: str,
    config: TokensConfig,
    eos_id: int,
    *,
    counts: Counter[str] | None = None,
) -> list[int]:
    """Ids of a completion, at most `max_completion_tokens`, the end token included.

    The end token says that the writer was done. Text that a limit cut off, its
    writer's (`finish_reason`) or this one's, gets none: it would teach to stop in
    mid-sentence.

    Args:
      tokenizer: The prompt's.
      text: What the writer wrote; control tokens in it are read as plain text.
      finish_reason: `stop` if the writer ended by itself.
      config: Limits.
      eos_id: The end-of-turn id.
      counts: If given, `completions`, `completions_truncated` and
        `completions_without_end` are counted there.

    Raises:
      CorruptDataError: If the text itself holds the end token.
    """
    ids = [token.id for token in _plain(tokenizer, text, 0)]
    if eos_id in ids:
        raise CorruptDataError(
            f"a completion's text holds the end token (id {eos_id}): {text!r:.80};"
            " remove it from the records"
        )
    truncated = len(ids) + (finish_reason == "stop") > config.max_completion_tokens
    ended = finish_reason == "stop" and not truncated
    if counts is not None:
        counts["completions"] += 1
        counts["completions_truncated"] += truncated
        counts["completions_without_end"] += not ended
    return [*ids[: config.max_completion_tokens], *([eos_id] if ended else [])]


def decode_completion(tokenizer: Tokenizer, token_ids: Sequence[int]) -> str:
    """The text of sampled ids, as it was written: spaces are not tidied up."""
    return tokenizer.decode(
        list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def _without_oldest_turn(messages: list[Message]) -> list[Message]:
    """The conversation from its second user turn on; nothing if there is but one."""
    users = [i for i, message in enumerate(messages) if message.role == "user"]
    if len(users) < 2:
        return []
    system = [turn for turn in messages[: users[0]] if turn.role == "system"]
    return system + messages[users[1] :]


def _with_front_cut(
    prompt: PromptText, tokens: list[_Token], excess: int
) -> PromptText:
    """The prompt without the characters of the user's first `excess` tokens.

    Characters and not tokens are cut, as a token may reach over the template's last
    space into the text: what is left is encoded like any other prompt.
    """
    own = prompt.content_ranges[-1]
    inside = [one.end for one in tokens if own.start <= one.start < one.end <= own.stop]
    if excess >= len(inside):
        raise UsageError(
            f"tokens.max_prompt_tokens leaves no room for the user: the template alone"
            f" takes {len(tokens) - len(inside)} tokens; raise it by"
            f" {excess - len(inside) + 1} or more"
        )
    kept = prompt.contents[-1][inside[excess - 1] - own.start :]
    return prompt._replace(contents=(*prompt.contents[:-1], kept))


def _encode(tokenizer: Tokenizer, prompt: PromptText) -> list[_Token]:
    """The prompt's tokens; control tokens count in the frame, not in the contents.

    The text is encoded in one piece, as the model will have seen text in training,
    and broken only around a control token that somebody typed.
    """
    tokens, done = [], 0
    for typed in _typed_controls(tokenizer, prompt):
        tokens += _framed(tokenizer, prompt.text[done : typed.start], done)
        tokens += _plain(tokenizer, prompt.text[typed.start : typed.stop], typed.start)
        done = typed.stop
    return tokens + _framed(tokenizer, prompt.text[done:], done)


def _typed_controls(tokenizer: Tokenizer, prompt: PromptText) -> Iterator[range]:
    """Where contents hold the text of a control token, from left to right."""
    texts = special_texts(tokenizer)
    for content, place in zip(prompt.contents, prompt.content_ranges, strict=True):
        at = 0
        while found := [
            (where, -len(text))
            for text in texts
            if (where := content.find(text, at)) >= 0
        ]:
            where, negative_length = min(found)
            at = where - negative_length
            yield range(place.start + where, place.start + at)


def _framed(tokenizer: Tokenizer, text: str, start: int) -> list[_Token]:
    """Tokens of the template's text, in which control tokens count."""
    return _tokens(tokenizer, text, start, split_special_tokens=False)


def _plain(tokenizer: Tokenizer, text: str, start: int) -> list[_Token]:
    """Tokens of somebody's text, in which control tokens are mere characters."""
    return _tokens(tokenizer, text, start, split_special_tokens=True)


def _tokens(
    tokenizer: Tokenizer, text: str, start: int, **options: bool
) -> list[_Token]:
    """Tokens of one piece, their offsets counted in the whole."""
    encoded = tokenizer(
        text,
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,  # lengths are this module's business
        **options,
    )
    return [
        _Token(token, start + first, start + last)
        for token, (first, last) in zip(
            encoded["input_ids"], encoded["offset_mapping"], strict=True
        )
    ]
