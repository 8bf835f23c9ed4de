"""Tests of `rlaif_jax.commands.seen`."""

from rlaif_jax.commands.seen import Answers, Seen, agreement


def test_what_was_seen_adds_up_to_means():
    one = Seen(calls=1, prompt_tokens=6, expected_prompt_tokens=4, completion_tokens=3)
    two = Seen(calls=3, prompt_tokens=6, expected_prompt_tokens=4, completion_tokens=5)
    assert (one + two).answers("made") == Answers(1.5, 2.0, 0.0, "made")
    assert Seen(calls=1, texts=2, text_bytes=6).answers("made").text_bytes == 3.0


def test_texts_agree_on_prompts_that_both_were_asked_about():
    pilot = {
        "first": {"weak": {"p": "a", "q": "b", "r": "c"}},
        "second": {"strong": {"q": "b", "r": "x", "s": "d"}},
    }
    assert agreement(pilot, "weak", "strong") == 0.5  # q, but not r
    assert agreement(pilot, "strong", "weak") == 0.0  # nobody was asked
