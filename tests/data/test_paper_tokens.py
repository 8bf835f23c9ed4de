"""Tests of `rlaif_jax.data.paper_tokens`."""

import pydantic
import pytest

from rlaif_jax.config import SampleConfig
from rlaif_jax.config_parts import RowsConfig, TokensConfig
from rlaif_jax.data.layout import row_tokens
from rlaif_jax.data.paper_tokens import encode_as_paper, paper_text
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.records import Message

END = 1


def said(*texts):
    roles = ("user", "assistant")
    return [
        Message.model_validate({"role": roles[i % 2], "content": text})
        for i, text in enumerate(texts)
    ]


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def limits(prompt, completion, **options):
    return TokensConfig(
        max_prompt_tokens=prompt,
        max_completion_tokens=completion,
        compat="paper",
        **options,
    )


def test_what_fits_is_whole_whatever_the_limit_of_prompts(bos_tokenizer):
    prompt = ids_of(bos_tokenizer, "Human: Why?\n\nAssistant: ")
    answer = ids_of(bos_tokenizer, "So.")
    total = len(prompt) + len(answer) + 1
    # the prompt is longer than its own limit, and both together are at theirs
    config = limits(len(prompt) - 2, total - len(prompt) + 2)

    ids = encode_as_paper(bos_tokenizer, said("Why?"), ["So."], config)

    assert ids.prompt == prompt  # without a first token, though the tokenizer has one
    assert ids.completions == [[*answer, END]]
    assert ids.fate == ((False, False), (True,))


@pytest.mark.parametrize("kept", ["end", "start"])
def test_one_token_more_cuts_the_prompt_on_the_side_that_is_not_kept(tokenizer, kept):
    whole = ids_of(tokenizer, "Human: Why?\n\nAssistant: ")
    answers = ["So.", "So. So. So."]  # the longer one decides
    longest = len(ids_of(tokenizer, answers[1])) + 1
    short = len(whole) - 3
    config = limits(short, len(whole) + longest - 1 - short, kept=kept)

    ids = encode_as_paper(tokenizer, said("Why?"), answers, config)

    assert ids.prompt == (whole[3:] if kept == "end" else whole[:-3])
    assert [one[-1] for one in ids.completions] == [END, END]
    assert ids.fate == ((True, False, False), (True, True))


def test_a_long_completion_is_cut_to_its_limit_however_short_the_prompt_is(tokenizer):
    prompt = ids_of(tokenizer, "Human: Why?\n\nAssistant: ")
    answers = ["So. " * 30, "So."]
    config = limits(len(prompt) + 9, 6)  # there would be room for 15

    ids = encode_as_paper(tokenizer, said("Why?"), answers, config)

    assert ids.prompt == prompt
    assert ids.completions[0] == ids_of(tokenizer, answers[0])[:6]
    assert ids.completions[1] == [*ids_of(tokenizer, "So."), END]
    assert ids.fate == ((False, True, False), (False, True))


def test_an_end_token_that_somebody_typed_is_corrupt_data(tokenizer):
    for messages, text in ((said("a </s>"), "b"), (said("a"), "b </s>")):
        with pytest.raises(CorruptDataError, match="leave the row out"):
            encode_as_paper(tokenizer, messages, [text], limits(99, 99))


def test_an_empty_turn_after_an_answer_is_where_the_text_ends(tokenizer):
    first = "Human: q\n\nAssistant: "
    assert paper_text(said("q"), tokenizer) == first
    assert paper_text(said("q", "a", ""), tokenizer) == f"{first}a\n\nHuman: "
    assert paper_text(said(""), tokenizer) == "Human: \n\nAssistant: "
    both = f"{first}a\n\nHuman: r\n\nAssistant: "
    assert paper_text(said("q", "a", "r"), tokenizer) == both


@pytest.mark.parametrize(("layout", "length"), [("padded", 512), ("packed", 1024)])
def test_a_row_holds_the_longest_pair_that_is_left(layout, length):
    # one token of prompt and 511 of either completion, which share the prompt or not
    found = row_tokens(
        RowsConfig(layout=layout),
        limits(256, 256),
        num_completions=2,
        items_a_device=1.0,
    )
    assert found == length


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kept": "start"}, "goes with tokens.compat=paper"),
        ({"compat": "paper", "template": "chat"}, "human_assistant, not chat"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options, told):
    with pytest.raises(pydantic.ValidationError, match=told):
        TokensConfig.model_validate(options)


def test_sampling_has_no_completion_to_cut_the_prompt_by():
    document = {"model": {"path": "m"}, "prompts": "p", "tokens": {"compat": "paper"}}
    with pytest.raises(pydantic.ValidationError, match="leave it out of sample"):
        SampleConfig.model_validate(document)
