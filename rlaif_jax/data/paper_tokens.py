"""Ids as the paper's code makes them, mistakes included: `tokens.compat=paper`.

Sharma et al. 2024, arXiv:2402.12366; what `encode_prompt` and `encode_completion` do
otherwise, and why, is said there.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rlaif_jax.config_parts import TokensConfig
from rlaif_jax.data.encoded import Fate
from rlaif_jax.data.templates import render_prompt
from rlaif_jax.data.tokenizer import Tokenizer
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.records import Message

_CUE = "\n\nAssistant: "


class PaperIds(NamedTuple):
    """A prompt with its completions as ids, and what limits did to them."""

    prompt: list[int]
    completions: list[list[int]]
    fate: Fate


def encode_as_paper(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    texts: Sequence[str],
    config: TokensConfig,
) -> PaperIds:
    """Ids of a prompt and of one completion, or of both completions of a pair.

    Each text is encoded alone, without a first token and with control tokens that
    somebody typed; every completion gets the end token, whoever or whatever ended it.
    If the prompt and the longest completion are over the limit (512 tokens in the
    paper: both limits of the config together), the prompt is cut to
    `max_prompt_tokens`, at the side that `kept` does not name, be it the cue's; if
    that does not do, every completion is cut to `max_completion_tokens`, however
    short the prompt is, and a cut one loses its end.

    Args:
      tokenizer: The model's.
      messages: The conversation. An empty last turn of the user after the assistant's
        stands for no turn: the text ends where the user would begin.
      texts: The completions.
      config: Limits, and which side of a prompt is kept.

    Raises:
      CorruptDataError: If a text holds the end token.
    """
    end = tokenizer.eos_token_id
    prompt = _ids(tokenizer, paper_text(messages, tokenizer))
    completions = [[*_ids(tokenizer, text), end] for text in texts]
    length = len(prompt)
    longest = max(map(len, completions))
    if len(prompt) + longest > config.compat_tokens:
        kept = config.max_prompt_tokens
        prompt = prompt[-kept:] if config.kept == "end" else prompt[:kept]
    is_over = len(prompt) + longest > config.compat_tokens
    limit = config.max_completion_tokens if is_over else longest
    cut = [ids[:limit] for ids in completions]
    fate = Fate(
        truncated=(
            len(prompt) < length,
            *(
                len(short) < len(ids)
                for short, ids in zip(cut, completions, strict=True)
            ),
        ),
        ended=tuple(ids[-1] == end for ids in cut),
    )
    return PaperIds(prompt, cut, fate)


def paper_text(messages: Sequence[Message], tokenizer: Tokenizer) -> str:
    """The prompt as text."""
    text = render_prompt("human_assistant", messages, tokenizer).text
    goes_on = len(messages) > 1 and not messages[-1].content
    return text.removesuffix(_CUE) if goes_on else text


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of one text, in which the end token must not be."""
    ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    if tokenizer.eos_token_id in ids:
        raise CorruptDataError(
            f"a text holds the end token (id {tokenizer.eos_token_id}): {text!r:.80};"
            " leave the row out, as source.rules=paper of sharegpt and alpaca_eval does"
        )
    return ids
