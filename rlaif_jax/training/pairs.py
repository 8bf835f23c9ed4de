"""Preferences as ids, and as rows."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlaif_jax.config_parts import TokensConfig
from rlaif_jax.data.encoded import EncodedPair, Fate
from rlaif_jax.data.layout import Layout
from rlaif_jax.data.packing import PackedRows, Pair
from rlaif_jax.data.paper_tokens import encode_as_paper
from rlaif_jax.data.tokenization import encode_completion, encode_prompt
from rlaif_jax.data.tokenizer import Tokenizer
from rlaif_jax.records import Preference


class PairEncoder:
    """Turns preferences into ids; remembers pairs, which every epoch brings again."""

    def __init__(
        self, tokenizer: Tokenizer, tokens: TokensConfig, *, max_remembered: int = 2**18
    ):
        """Prepares to encode.

        Args:
          tokenizer: The model's.
          tokens: Template and limits.
          max_remembered: Pairs kept in memory.
        """
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._max_remembered = max_remembered
        self._known: dict[str, Pair] = {}

    def __call__(self, preference: Preference) -> Pair:
        """A preference as ids."""
        pair = self._known.get(preference.pair_id)
        if pair is None:
            pair = encode_preference(self._tokenizer, preference, self._tokens)
            if len(self._known) < self._max_remembered:
                self._known[preference.pair_id] = pair
        return pair


def encode_preference(
    tokenizer: Tokenizer, preference: Preference, tokens: TokensConfig
) -> Pair:
    """A preference as ids."""
    return _ENCODERS[tokens.compat](tokenizer, preference, tokens)


def _clean_pair(
    tokenizer: Tokenizer, preference: Preference, tokens: TokensConfig
) -> Pair:
    """Each side by itself."""
    counts: Counter[str] = Counter()
    prompt = encode_prompt(tokenizer, preference.prompt, tokens, counts=counts)
    sides, truncated, ended = [], [counts["prompts_truncated"] > 0], []
    for text, finish_reason in (
        (preference.chosen[-1].content, preference.chosen_finish_reason),
        (preference.rejected[-1].content, preference.rejected_finish_reason),
    ):
        counts.clear()
        eos_id = tokenizer.eos_token_id
        sides.append(
            encode_completion(
                tokenizer, text, finish_reason, tokens, eos_id, counts=counts
            )
        )
        truncated.append(counts["completions_truncated"] > 0)
        ended.append(not counts["completions_without_end"])
    fate = Fate(tuple(truncated), tuple(ended))
    return EncodedPair.create(Pair(prompt, *sides), fate)


def _paper_pair(
    tokenizer: Tokenizer, preference: Preference, tokens: TokensConfig
) -> Pair:
    """The prompt cut by the longer side, as in the paper's code."""
    texts = [preference.chosen[-1].content, preference.rejected[-1].content]
    ids = encode_as_paper(tokenizer, preference.prompt, texts, tokens)
    return EncodedPair.create(Pair(ids.prompt, *ids.completions), ids.fate)


_ENCODERS: dict[str, Callable[[Tokenizer, Preference, TokensConfig], Pair]] = {
    "clean": _clean_pair,
    "paper": _paper_pair,
}


@dataclass(frozen=True, kw_only=True)
class PairRows:
    """How preferences become rows.

    Attributes:
      to_pair: A preference as ids: a `PairEncoder`.
      layout: Pairs as rows.
    """

    to_pair: Callable[[Preference], Pair]
    layout: Layout

    def parts(
        self, parts: Sequence[Sequence[Preference]]
    ) -> list[tuple[list[Pair], PackedRows]]:
        """Each part of a batch as ids and as rows, all of one shape."""
        pairs = [[self.to_pair(record) for record in part] for part in parts]
        return list(zip(pairs, self.layout.parts(pairs), strict=True))
