"""A tokenizer of the Hugging Face kind, as far as this package needs one."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rlaif_jax.errors import CorruptDataError, UsageError


@runtime_checkable
class Tokenizer(Protocol):
    """What this package calls on a `PreTrainedTokenizerFast`, without its import."""

    bos_token_id: Any
    eos_token_id: Any
    chat_template: Any
    added_tokens_decoder: Any

    def __call__(self, text: Any, **options: Any) -> Any:
        """`input_ids` of a text, and `offset_mapping` if asked for."""
        ...

    def __len__(self) -> int:
        """Ids in the vocabulary, added tokens included."""
        ...

    def decode(self, token_ids: Any, **options: Any) -> Any:
        """The text of some ids."""
        ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        """The conversation as the tokenizer's own template writes it."""
        ...


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder, from its files alone: no network, no remote code.

    Raises:
      UsageError: If there is none, it has no end token, or only a slow form that
        cannot say which characters a token stands for.
      CorruptDataError: If its files do not parse.
    """
    if not (folder / "tokenizer_config.json").is_file():
        raise UsageError(
            f"no tokenizer at {folder}: it needs tokenizer.json and"
            " tokenizer_config.json, as Hugging Face folders have them"
        )
    from transformers import AutoTokenizer  # two seconds: only who needs it pays

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CorruptDataError(
            f"cannot read the tokenizer {folder}: {reason}"
        ) from error
    if not tokenizer.is_fast:
        raise UsageError(f"the tokenizer {folder} has no tokenizer.json: convert it")
    if tokenizer.eos_token_id is None:
        raise UsageError(f"the tokenizer {folder} names no eos_token: add it")
    return tokenizer


@lru_cache(maxsize=16)
def leading_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The beginning-of-sequence id, where the tokenizer itself would put it; or none.

    Asked of its post-processor: the attribute `add_bos_token` is False on many
    tokenizers that do add one (transformers 5.23 after a save and load).
    """
    bos = tokenizer.bos_token_id
    first = tokenizer("a")["input_ids"][:1]
    return (bos,) if bos is not None and first == [bos] else ()


@lru_cache(maxsize=16)
def special_texts(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Texts that the tokenizer reads as control tokens wherever they stand."""
    added = tokenizer.added_tokens_decoder.values()
    return tuple(sorted(str(token) for token in added if token.special))
