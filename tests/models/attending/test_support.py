"""Tests of `rlaif_jax.models.attending.support`."""

import re
from pathlib import Path

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.models.attending.support import (
    BACKENDS,
    FEATURES,
    PLATFORMS,
    able,
    choose,
    require,
)

DOCS = Path(__file__).parents[3] / "docs" / "attention.md"


def test_the_table_in_the_docs_is_the_matrix():
    rows = re.findall(r"^\| `(\w+)` \|.*\|$", DOCS.read_text(), re.MULTILINE)
    lines = DOCS.read_text().splitlines()
    table = {
        name: [cell.strip() for cell in line.split("|")[3:-1]]
        for name in rows
        for line in lines
        if line.startswith(f"| `{name}` |")
    }
    expected = {
        feature: [
            "yes" if feature in backend.can else "no" for backend in BACKENDS.values()
        ]
        for feature in FEATURES
    } | {
        platform: [
            "yes" if platform in backend.platforms else "no"
            for backend in BACKENDS.values()
        ]
        for platform in PLATFORMS
    }
    assert table == expected
    header = next(line for line in lines if line.startswith("| feature |"))
    assert [cell.strip(" `") for cell in header.split("|")[3:-1]] == list(BACKENDS)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_xla_does_everything_everywhere(platform):
    assert choose("xla", set(FEATURES), platform) == "xla"
    assert "xla" in able(set(FEATURES), platform)


@pytest.mark.parametrize(
    ("needs", "platform", "chosen"),
    [
        ({"padding", "float32"}, "cpu", "xla"),
        ({"packed", "window"}, "cpu", "blocks"),
        ({"shared_prefix"}, "cpu", "blocks"),
        ({"padding", "cache"}, "cpu", "xla"),
        ({"padding", "grouped", "window"}, "gpu", "cudnn"),
        ({"padding", "float32"}, "gpu", "xla"),
        ({"padding", "softcap"}, "gpu", "xla"),
        ({"packed"}, "gpu", "blocks"),
        ({"padding", "softcap", "window"}, "tpu", "splash"),
        ({"shared_prefix"}, "tpu", "splash"),
        ({"shared_prefix", "window"}, "tpu", "xla"),
        ({"padding", "cache"}, "tpu", "xla"),
    ],
)
def test_auto_takes_the_first_that_has_all(needs, platform, chosen):
    assert choose("auto", needs, platform) == chosen


def test_another_platform_is_named_with_what_runs_there():
    with pytest.raises(UsageError) as caught:
        choose("splash", {"padding"}, "cpu")
    assert str(caught.value) == (
        "attention=splash runs on tpu, and this is cpu: use attention=xla or"
        " attention=blocks"
    )


def test_what_is_lacking_is_named_with_what_has_it():
    with pytest.raises(UsageError) as caught:
        choose("cudnn", {"packed", "grouped"}, "gpu")
    assert str(caught.value) == (
        "attention=cudnn cannot do several texts in a row: use attention=xla or"
        " attention=blocks"
    )
    with pytest.raises(UsageError, match="splash cannot do decoding with a cache"):
        choose("splash", {"cache"}, "tpu")


def test_two_features_that_do_not_join_are_named_together():
    require("splash", {"window", "packed"})
    require("splash", {"shared_prefix"})
    both = "a sliding window with pairs that share their prompt: use attention=xla$"
    with pytest.raises(UsageError, match=both):
        choose("splash", {"window", "shared_prefix"}, "tpu")


def test_a_platform_that_is_not_known_is_refused():
    with pytest.raises(UsageError, match="metal"):
        choose("auto", set(), "metal")
