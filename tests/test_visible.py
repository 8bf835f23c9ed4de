"""Tests of `rlaif_jax.visible`."""

import pytest

from rlaif_jax.visible import visible


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("a\u202eb", "a[U+202E]b"),
        ("\x1b[31mred", "[U+001B][31mred"),
        ("\u200b", "[U+200B]"),
        ("\ud800", "[U+D800]"),
    ],
)
def test_hidden_characters_are_spelled_out(hidden, shown):
    assert visible(hidden) == shown


def test_ordinary_text_of_any_script_is_left_alone():
    text = "Grüße,\n\t你好 مرحبا 👩\u200d💻"
    assert visible(text) == text
