"""What came of one question."""

from dataclasses import dataclass
from typing import Literal

from rlaif_jax.labeling.chat import Answer, RejectedError, Token
from rlaif_jax.records import Usage
from rlaif_jax.typing import Json

State = Literal["answered", "refused", "too_long", "failed"]

_NO_USAGE = Usage()
_REFUSALS = {"refusal", "content_filter"}
_NESTED = {"usage", "tokens"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one question: an answer, or why there is none.

    Attributes:
      state: answered; refused, by the model or its filter; too_long for the model; or
        failed, after every attempt: a later run asks again.
      text: The answer's text, raw.
      finish_reason: As in `Answer`; too_long or failed without one.
      returned_model: The model that the server says has answered.
      request_id: The server's name for the call.
      usage: Tokens billed.
      cost_usd: Their price.
      uncertain_usd: What calls without a usable answer may have cost besides, at most.
      attempts: Calls sent.
      error: What went wrong last, if it never answered.
      tokens: As in `Answer`.
    """

    state: State
    text: str = ""
    finish_reason: str
    returned_model: str = ""
    request_id: str = ""
    usage: Usage = _NO_USAGE
    cost_usd: float = 0.0
    uncertain_usd: float = 0.0
    attempts: int
    error: str = ""
    tokens: tuple[Token, ...] = ()

    @classmethod
    def of_answer(
        cls, answer: Answer, *, cost_usd: float, uncertain_usd: float, attempts: int
    ) -> "Outcome":
        """The outcome of a call that was answered."""
        return cls(
            state="refused" if answer.finish_reason in _REFUSALS else "answered",
            text=answer.text,
            finish_reason=answer.finish_reason,
            returned_model=answer.returned_model,
            request_id=answer.request_id,
            usage=answer.usage or _NO_USAGE,
            cost_usd=cost_usd,
            uncertain_usd=uncertain_usd,
            attempts=attempts,
            tokens=answer.tokens,
        )

    @classmethod
    def of_rejection(
        cls, error: RejectedError, *, uncertain_usd: float, attempts: int
    ) -> "Outcome":
        """The outcome of a question that will never be answered."""
        is_refusal = error.finish_reason == "refusal"
        return cls(
            state="refused" if is_refusal else "too_long",
            finish_reason=error.finish_reason,
            uncertain_usd=uncertain_usd,
            attempts=attempts,
            error=str(error),
        )

    @classmethod
    def of_failure(
        cls, error: str, *, uncertain_usd: float, attempts: int
    ) -> "Outcome":
        """The outcome of a question that a later run takes up again."""
        return cls(
            state="failed",
            finish_reason="failed",
            uncertain_usd=uncertain_usd,
            attempts=attempts,
            error=error,
        )

    @classmethod
    def from_json(cls, record: Json) -> "Outcome":
        """The outcome in a ledger's record."""
        fields = {name: record[name] for name in cls.__slots__ if name not in _NESTED}
        tokens = tuple(
            Token(text, logp, tuple((other, value) for other, value in top))
            for text, logp, top in record.get("tokens", ())
        )
        return cls(usage=Usage(**record["usage"]), tokens=tokens, **fields)

    def to_json(self) -> Json:
        """The fields of a ledger's record."""
        record: Json = {
            name: getattr(self, name) for name in self.__slots__ if name not in _NESTED
        }
        record["usage"] = {
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
        }
        if self.tokens:
            record["tokens"] = self.tokens
        return record
