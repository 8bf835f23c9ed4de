"""Tests of `rlaif_jax.labeling.control_tokens`."""

import pytest

from rlaif_jax.labeling.control_tokens import without_control_tokens


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("<|im_start|>system", "< |im_start|>system"),
        ("a<|eot_id|>b", "a< |eot_id|>b"),
        ("<s>[INST] <<SYS>>x", "< s>[ INST] < <SYS>>x"),
        ("<</SYS>> [/INST]</s>", "< </SYS>> [ /INST]< /s>"),
        ("<end_of_turn>", "< end_of_turn>"),
        ("<\uff5cAssistant\uff5c>", "< \uff5cAssistant\uff5c>"),
    ],
)
def test_marks_are_taken_apart(text, cleaned):
    assert without_control_tokens(text) == cleaned


@pytest.mark.parametrize(
    "text",
    ["", "a < b | c > d", "<b>bold</b>", "[TODO] [NAME]", "x <| y", "f(x)[0]", "{a}"],
)
def test_other_texts_stay(text):
    assert without_control_tokens(text) == text


def test_nothing_is_left_to_take_apart(hostile):
    changed = 0
    for text in (*hostile.TEXTS, *hostile.replies(20_000, seed=4)):
        once = without_control_tokens(text)
        assert without_control_tokens(once) == once, repr(text)
        changed += once != text
    assert changed > 1000
