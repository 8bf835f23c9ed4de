"""Foreign text, shown so that nothing in it can hide."""

import unicodedata

_JOINERS = "\n\t\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # harmless, and needed
_INVISIBLE = {"Cc", "Cf", "Cs"}  # control, format (also bidirectional), surrogate


def visible(text: str) -> str:
    """The text with every character that hides or reorders others spelled out.

    Model output may hold terminal escapes, or controls that make the eye read
    another text than the one that was judged.
    """
    return "".join(
        f"[U+{ord(character):04X}]"
        if character not in _JOINERS and unicodedata.category(character) in _INVISIBLE
        else character
        for character in text
    )
