"""OpenAI's Decisions format: questions in, the probability of every choice out."""

import json
from collections.abc import Callable
from typing import Any

from rlaif_jax.lab.comparisons import FIRST, SECOND
from rlaif_jax.lab.wire import bad, read_document, read_turns, text_tokens
from rlaif_jax.typing import Json

_MOST_QUESTIONS = 400


def decide_body(body: bytes, p_first: Callable[[str, str], float]) -> bytes:
    """The answers to a request's questions, in their order.

    Args:
      body: The request.
      p_first: Model and text to the probability that the output shown first is better.

    Raises:
      WireError: If it is malformed, or asks for what the lab does not do.
    """
    document, model = read_document(body)
    questions = document.get("questions")
    if not isinstance(questions, list) or not 0 < len(questions) <= _MOST_QUESTIONS:
        raise bad(f"questions: a list of 1 to {_MOST_QUESTIONS} is required")
    choices = [_choices(question) for question in questions]
    text, characters = read_turns(document, "input")
    p = p_first(model, text)
    answers = [
        _answer(question.get("name"), values, {FIRST: p, SECOND: 1.0 - p})
        for question, values in zip(questions, choices, strict=True)
    ]
    num_input = text_tokens(characters)
    usage = {
        "input_tokens": num_input,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens": len(answers),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": num_input + len(answers),
    }
    return json.dumps({"model": model, "answers": answers, "usage": usage}).encode()


def _choices(question: Any) -> list[str]:
    """The values that a question lets a critic choose from."""
    if not isinstance(question, dict) or question.get("type") != "choice":
        raise bad("questions: the lab answers questions of type choice")
    if not question.get("instructions"):
        raise bad("questions: instructions are required")
    choices = question.get("choices")
    values: list[Any] = [
        one.get("value")
        for one in (choices if isinstance(choices, list) else [])
        if isinstance(one, dict)
    ]
    if len(values) != 2 or FIRST not in values or SECOND not in values:
        raise bad(f"choices: the lab's critics choose {FIRST} or {SECOND}")
    return values


def _answer(name: Any, values: list[str], odds: dict[str, float]) -> Json:
    choice = max(values, key=lambda value: odds[value])
    return {
        "type": "choice",
        "name": name,
        "choice": choice,
        "confidence": odds[choice],
        "probabilities": [
            {"value": value, "probability": odds[value]} for value in values
        ],
    }
