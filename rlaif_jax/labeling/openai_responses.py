"""Chat models behind OpenAI's Responses API."""

from collections.abc import Mapping, Sequence

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.labeling.chat import Answer, TransientError
from rlaif_jax.labeling.constraints import Choices, constraint_of, verdict_schema
from rlaif_jax.labeling.failures import billed_tokens, described, is_refusal
from rlaif_jax.labeling.headers import quotas
from rlaif_jax.labeling.openai_model import (
    NUM_ALTERNATIVES,
    OpenAIModel,
    sent_turns,
    told_tokens,
)
from rlaif_jax.records import Message, Usage
from rlaif_jax.typing import Json

_CUT = {"max_output_tokens": "length"}  # other reasons go by their own names


class OpenAIResponses(OpenAIModel):
    """`POST /responses`; nothing of what is asked is stored there."""

    api = "openai_responses"
    path = "/responses"

    def __init__(
        self, config: EndpointConfig, *, api_key: str, choices: Choices | None = None
    ):
        super().__init__(config, api_key=api_key)
        self._options: Json = {"store": False}  # or it keeps every answer for 30 days
        if config.reasoning_effort is not None:
            self._options["reasoning"] = {"effort": config.reasoning_effort}
        if self._tells_tokens:
            self._options["include"] = ["message.output_text.logprobs"]
            self._options["top_logprobs"] = NUM_ALTERNATIVES
        if constraint := constraint_of(config, choices):
            self._options["text"] = {
                "format": {
                    "type": "json_schema",
                    "name": "verdict",
                    "strict": True,
                    "schema": verdict_schema(constraint[1]),
                }
            }

    def request(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Json:
        """The body that asks; see `ChatModel.ask`. The API has no seed."""
        del seed
        body: Json = {
            "model": self.model,
            "input": sent_turns(messages),
            "max_output_tokens": max_tokens,
        }
        if temperature is not None:
            body["temperature"] = temperature
        return body | self._options

    def _answer(self, body: Json, headers: Mapping[str, str]) -> Answer:
        reason = self._finish_reason(body)
        parts = [] if reason == "refusal" else _parts(body["output"])
        texts = [part for part in parts if part["type"] == "output_text"]
        refusals = [part["refusal"] for part in parts if part["type"] == "refusal"]
        if reason == "stop" and not parts:
            raise ValueError("completed without a word")
        told = [token for part in texts for token in part.get("logprobs") or []]
        return Answer(
            text="".join(part["text"] for part in texts),
            finish_reason="refusal" if refusals else reason,
            returned_model=str(body.get("model") or ""),
            usage=_usage(body.get("usage")),
            request_id=headers.get("x-request-id") or str(body.get("id") or ""),
            quotas=quotas(headers),
            tokens=told_tokens(told) if self._tells_tokens else (),
            refusal="".join(refusals) or described(body.get("error"))[1],
            service_tier=str(body.get("service_tier") or ""),
        )

    def _finish_reason(self, body: Json) -> str:
        """How the answer ended.

        Raises:
          TransientError: If the server failed, whatever the HTTP status said.
        """
        status = body["status"]
        if status == "completed":
            return "stop"
        if status == "incomplete":
            reason = body["incomplete_details"]["reason"]
            return _CUT.get(reason, str(reason))
        code, message = described(body.get("error"))
        if status == "failed" and is_refusal(code):
            return "refusal"
        words = self.target.quote(f"{status}: {code} {message}")
        raise TransientError(
            f"{self.host} gave no answer with model {self.model!r}: {words}",
            may_be_billed=True,
            fault="rate_limit" if code == "rate_limit_exceeded" else "server_error",
        )


def _parts(output: Sequence[Json]) -> list[Json]:
    """What the model said: not what it thought, nor what it says of its work."""
    return [
        part
        for item in output
        if item["type"] == "message" and item.get("phase") != "commentary"
        for part in item["content"]
    ]


def _usage(usage: object) -> Usage | None:
    """The tokens billed; cached ones are among the input's in this format."""
    if not isinstance(usage, dict):
        return None
    return billed_tokens(usage.get("input_tokens"), usage.get("output_tokens"))
