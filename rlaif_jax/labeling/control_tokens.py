"""Marks by which chat models tell turns apart, and texts without them.

Turns are sent as turns, never as one text to be split. But a server that renders them
into one text may read a mark inside a candidate as the end of its turn.
"""

import re

_MARKS = re.compile(
    r"<\|[^<>|\n]{1,64}\|>"  # ChatML, Llama 3, Phi, GLM
    r"|<｜[^<>｜\n]{1,64}｜>"  # noqa: RUF001 - DeepSeek's are full-width
    r"|</?s>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>"  # Llama 2, Gemma
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"  # Mistral
    r"|<</?SYS>>"
)


def without_control_tokens(text: str) -> str:
    """The text with a blank inside every mark, so that it marks nothing.

    `<|im_end|>` becomes `< |im_end|>`: a reader sees what was written, and no
    tokenizer does.
    """
    return _MARKS.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)
