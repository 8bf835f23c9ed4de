"""Tests of `rlaif_jax.labeling.batch_wire`; HTTP is in those of both APIs."""

import pytest

from rlaif_jax.labeling.batch_wire import safe_id, split_lines


async def chunks(content, size):
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("end", ["", "\n"])
async def test_only_a_line_feed_ends_a_line(size, end):
    lines = ['{"a": "x\u2028y\x85z"}', "", "two", "three\r"]
    content = ("\n".join(lines) + end).encode()
    found = [one.decode() async for one in split_lines(chunks(content, size))]
    assert found == [lines[0], "two", "three\r"]


@pytest.mark.parametrize("text", ["", "..", "../files", "a/b", "a?b", "é", "x" * 257])
def test_an_id_cannot_lead_elsewhere(text):
    with pytest.raises(ValueError, match="id"):
        safe_id(text)


def test_real_ids_are_taken():
    for text in ("batch_6913a5", "file-Ab1", "msgbatch_013Zva2CMHLNnXjNJJKqJ2EF"):
        assert safe_id(text) == text
