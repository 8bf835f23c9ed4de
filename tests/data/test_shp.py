"""Tests of `rlaif_jax.data.shp`."""

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.shp import read_shp


def read(made_up, **options):
    source = SourceConfig(format="shp", path=made_up("shp.jsonl"), **options)
    exchanges = list(read_shp(source))
    posts = {
        one.messages[0].content[:6]: (
            [(pair.chosen, pair.rejected) for pair in one.rivals],
            one.answer,
        )
        for one in exchanges
        if one.dropped is None
    }
    return posts, [one.dropped for one in exchanges if one.dropped]


def test_pairs_of_a_post_come_together_with_its_best_comment(made_up):
    posts, dropped = read(made_up)
    assert posts == {
        "Post 1": (
            [
                ("A long and good reason.", "Because."),
                ("An even better reason.", "So it is said."),
            ],
            "An even better reason.",
        ),
        "Post 2": ([("Heat.", "Cold.")], "Heat."),  # 30 is exactly twice 15
    }
    assert dropped == ["close_scores"] * 2


@pytest.mark.parametrize(("ratio", "kept"), [(1.0, 5), (2.1, 2), (9.0, 1)])
def test_the_ratio_of_scores_decides_which_pairs_are_kept(made_up, ratio, kept):
    posts, dropped = read(made_up, min_score_ratio=ratio)
    assert sum(len(pairs) for pairs, _ in posts.values()) == kept
    assert len(dropped) == 5 - kept
