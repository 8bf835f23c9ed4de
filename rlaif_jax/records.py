"""The records that travel between commands, in memory and on disk.

Imports no JAX. An id is a hash of content, so a command that runs again recognizes
what exists, whoever made it.
"""

import hashlib
import json
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def content_hash(*parts: Any) -> str:
    """The first 128 bits of the SHA-256 of the parts as canonical JSON, in hex."""
    text = json.dumps(
        parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Record(BaseModel):
    """Immutable, and strict about its fields: a typo in a file is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Role = Literal["system", "user", "assistant"]


class Message(Record):
    """One turn of a conversation."""

    role: Role
    content: str


class Prompt(Record):
    """Everything before the completion: messages that end with the user's turn."""

    prompt_id: str
    messages: tuple[Message, ...]
    source: str  # where it was read from, as the user would name it
    split: str  # sft, aif, validation or test; train where none was drawn

    @classmethod
    def create(
        cls, messages: tuple[Message, ...], *, source: str, split: str = "train"
    ) -> "Prompt":
        """A prompt whose id is the hash of its messages."""
        prompt_id = content_hash("prompt", [(m.role, m.content) for m in messages])
        return cls(prompt_id=prompt_id, messages=messages, source=source, split=split)


class Usage(Record):
    """Tokens that one call was billed for."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(Record):
    """One text that some model wrote for a prompt."""

    prompt_id: str
    completion_id: str
    text: str
    generator: str  # the teacher's or policy's name
    sampling: dict[str, Any] = Field(default_factory=dict)  # temperature, seed, ...
    finish_reason: str = "stop"  # or length; content_filter, refusal, too_long, failed
    usage: Usage = Usage()
    cost_usd: float = 0.0

    @classmethod
    def create(
        cls, prompt_id: str, text: str, *, generator: str, **fields: Any
    ) -> "Completion":
        """A completion whose id is the hash of its prompt, writer and text."""
        sampling = fields.get("sampling", {})
        completion_id = content_hash("completion", prompt_id, generator, sampling, text)
        return cls(
            prompt_id=prompt_id,
            completion_id=completion_id,
            text=text,
            generator=generator,
            **fields,
        )


class Comparison(Record):
    """Two completions of one prompt, to be judged."""

    pair_id: str
    prompt_id: str
    messages: tuple[Message, ...]
    first: Completion
    second: Completion

    @classmethod
    def create(
        cls, prompt: Prompt, first: Completion, second: Completion
    ) -> "Comparison":
        """A comparison whose id is the hash of its two completions, in order."""
        return cls(
            pair_id=content_hash("pair", first.completion_id, second.completion_id),
            prompt_id=prompt.prompt_id,
            messages=prompt.messages,
            first=first,
            second=second,
        )


class Verdict(StrEnum):
    """A critic's answer about one comparison."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    FAILED = "failed"  # no usable answer after every attempt


class Label(Record):
    """A verdict on one comparison, and where it came from."""

    pair_id: str
    verdict: Verdict
    p_first: float | None  # probability that the first is better; None if failed
    verdict_both_orders: str  # "first,second": each order's own verdict, unswapped
    state: str  # labeled, skipped_identical, unparsable, refused, too_long or failed
    critic: str
    critic_returned_model: str
    template_hash: str
    usage: Usage = Usage()
    cost_usd: float = 0.0
    calls: int = 0
    verdict_mass: float | None = None  # soft: mean probability of either verdict token
    jurors: tuple["Label", ...] = ()  # of a jury: what each critic, or vote, said


class JudgedCompletion(Record):
    """What one evaluated completion won against the baseline's."""

    prompt_id: str
    won: float | None  # 1, 0, 0.5 for a draw; None without a usable verdict
    label: Label


class Grade(Record):
    """What an evaluator said of one turn of a question of MT-bench."""

    question_id: int | str
    category: str
    turn: Literal[1, 2]
    order: Literal["", "ab", "ba"]  # of the two shown; ab: the baseline first
    value: float | None  # rating from 1 to 10, or 1, 0.5, 0 for what the candidate won
    state: Literal["graded", "unparsable", "refused", "too_long", "failed"]
    grader: str
    grader_returned_model: str
    template_hash: str
    reply: str
    usage: Usage = Usage()
    cost_usd: float = 0.0
    calls: int = 0


class Preference(Record):
    """A row of a preference shard: what the trainer sees of a decided comparison."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    pair_id: str
    prompt_id: str
    chosen_generator: str
    rejected_generator: str
    p_chosen: float
    verdict_both_orders: str
    critic: str
    critic_returned_model: str
    template_hash: str
    label_cost_usd: float
    chosen_finish_reason: str
    rejected_finish_reason: str
    split: str
