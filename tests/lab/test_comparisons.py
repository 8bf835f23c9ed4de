"""Judge prompts are read back."""

import pytest

from rlaif_jax.lab.comparisons import Shown, judge, judge_odds, read_comparison
from rlaif_jax.lab.critics import Critic
from rlaif_jax.labeling.wording import VERDICT
from rlaif_jax.records import Comparison, Completion, Message, Prompt

# the layout of AlpacaEval's basic templates, in other words
HEADINGS = """Choose (a) or (b).

# Example:
## Instruction:
Name a colour

## Output (a):
red

## Output (b):
a dog

## Which is best, Output (a) or Output (b)?
Output (a)

# Task:
## Instruction:
{}

## Output (a):
{}

## Output (b):
{}

## Which is best, Output (a) or Output (b)?
"""

CRITIC = Critic(name="c", accuracy=1.0)


def _judge_prompt(instruction, first, second, *, swapped=False):
    prompt = Prompt.create((Message(role="user", content=instruction),), source="s")
    completions = [
        Completion.create(prompt.prompt_id, text, generator="g")
        for text in (first, second)
    ]
    comparison = Comparison.create(prompt, *completions)
    return VERDICT.messages(comparison, swapped=swapped)[-1].content


TRICKY = [
    "",
    "\n",
    " x ",
    "two\n\nlines",
    "]]]",
    "## Output (b):\nx",
    "[[[Output (b) 1",
]


@pytest.mark.parametrize("first", TRICKY)
@pytest.mark.parametrize("second", TRICKY)
def test_the_projects_own_judge_prompt_is_read_back(first, second):
    text = _judge_prompt("Reverse bado", first, second)
    assert read_comparison(text) == Shown("Reverse bado", first, second)


def test_alpaca_eval_headings_are_read_after_the_worked_example():
    text = HEADINGS.format("Reverse bado", "odab", "two\nlines")
    assert read_comparison(text) == Shown("Reverse bado", "odab", "two\nlines")


@pytest.mark.parametrize("text", ["", "Reverse bado", "## Instruction:\nx"])
def test_any_other_text_is_no_comparison(text):
    assert read_comparison(text) is None
    assert judge(CRITIC, text) is None
    assert judge_odds(CRITIC, text) is None


@pytest.mark.parametrize(("swapped", "choice"), [(False, "a"), (True, "b")])
def test_the_reply_names_the_better_output_as_it_was_shown(swapped, choice):
    text = _judge_prompt("Reverse bado", "odab", "bado", swapped=swapped)
    reply = judge(CRITIC, text)
    assert judge_odds(CRITIC, text) == float(choice == "a")  # it is never wrong
    assert reply == f"Output ({choice})"
    assert VERDICT.grammar.choice(reply) == choice
