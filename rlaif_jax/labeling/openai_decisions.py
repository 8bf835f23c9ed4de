"""Critics behind OpenAI's Decisions API: they tell how probable each choice is."""

from collections.abc import Mapping, Sequence

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.labeling.chat import Answer
from rlaif_jax.labeling.constraints import INSTRUCTIONS, Choices
from rlaif_jax.labeling.failures import billed_tokens
from rlaif_jax.labeling.headers import quotas
from rlaif_jax.labeling.openai_model import OpenAIModel, sent_turns
from rlaif_jax.records import Message, Usage
from rlaif_jax.typing import Json

_MOST = 1.01  # of a probability: rounding may lift it above 1


class OpenAIDecisions(OpenAIModel):
    """`POST /decisions`, with one question whose choices are the two verdicts."""

    api = "openai_decisions"
    path = "/decisions"

    def __init__(self, config: EndpointConfig, *, api_key: str, choices: Choices):
        super().__init__(config, api_key=api_key)
        self._choices = choices
        self._question: Json = {
            "type": "choice",
            "instructions": INSTRUCTIONS,
            "choices": [{"value": choice} for choice in choices],
        }

    def request(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Json:
        """The body that asks; the API samples nothing, so it has no such options."""
        del max_tokens, temperature, seed
        return {
            "model": self.model,
            "input": sent_turns(messages),
            "questions": [self._question],
        }

    def _answer(self, body: Json, headers: Mapping[str, str]) -> Answer:
        (answer,) = body["answers"]
        is_refused = answer["type"] == "refusal"
        return Answer(
            text="" if is_refused else str(answer["choice"]),
            finish_reason="refusal" if is_refused else "stop",
            returned_model=str(body.get("model") or ""),
            usage=_usage(body.get("usage")),
            request_id=headers.get("x-request-id") or "",
            quotas=quotas(headers),
            odds=None if is_refused else self._odds(answer["probabilities"]),
        )

    def _odds(self, told: Sequence[Json]) -> tuple[float, float]:
        """The probabilities of the two choices."""
        by_choice = {one["value"]: one["probability"] for one in told}
        p_a, p_b = (by_choice[choice] for choice in self._choices)
        for p in (p_a, p_b):
            if isinstance(p, bool) or not 0.0 <= p <= _MOST:
                raise ValueError(f"probability {p!r}")
        if p_a + p_b == 0.0:
            raise ValueError("neither choice is possible")
        return float(p_a), float(p_b)


def _usage(usage: object) -> Usage | None:
    """The tokens billed: the input's, and none of the answer."""
    if not isinstance(usage, dict):
        return None
    return billed_tokens(usage.get("input_tokens"), 0)
