"""What came of one question."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rlaif_jax.labeling.chat import Answer, RejectedError, Token
from rlaif_jax.records import Usage
from rlaif_jax.typing import Json

State = Literal["answered", "refused", "too_long", "failed"]

_NO_USAGE = Usage()
_REFUSALS = {"refusal", "content_filter"}
_NESTED = {"usage", "tokens", "odds"}
_IF_TOLD = {  # in a record only if not empty, and what it is else
    "service_tier": "",
    "system_fingerprint": "",
    "faults": {},
}


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
      error: What went wrong last, if it never answered; or why it refused.
      tokens: As in `Answer`.
      odds: As in `Answer`.
      service_tier: As in `Answer`.
      system_fingerprint: As in `Answer`.
      faults: Calls that failed on the way, by `chat.Fault`.
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
    odds: tuple[float, float] | None = None
    service_tier: str = ""
    system_fingerprint: str = ""
    faults: Mapping[str, int] = field(default_factory=dict)

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
            error=answer.refusal,
            tokens=answer.tokens,
            odds=answer.odds,
            service_tier=answer.service_tier,
            system_fingerprint=answer.system_fingerprint,
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
        fields = {
            name: record.get(name, _IF_TOLD[name]) if name in _IF_TOLD else record[name]
            for name in cls.__slots__
            if name not in _NESTED
        }
        tokens = tuple(
            Token(text, logp, tuple((other, value) for other, value in top))
            for text, logp, top in record.get("tokens", ())
        )
        odds = tuple(record["odds"]) if "odds" in record else None
        usage = Usage(**record["usage"])
        return cls(usage=usage, tokens=tokens, odds=odds, **fields)

    def to_json(self) -> Json:
        """The fields of a ledger's record."""
        record: Json = {
            name: value
            for name in self.__slots__
            if name not in _NESTED
            and ((value := getattr(self, name)) or name not in _IF_TOLD)
        }
        record["usage"] = {
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
        }
        if self.tokens:
            record["tokens"] = self.tokens
        if self.odds is not None:
            record["odds"] = self.odds
        return record
