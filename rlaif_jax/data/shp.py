"""Stanford's SHP: two comments on one post, one of them with more votes."""

from collections.abc import Iterator

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import Exchange, Rivals, user_turn
from rlaif_jax.data.rows import Row, field, read_rows


def read_shp(source: SourceConfig) -> Iterator[Exchange]:
    """Each post with its pairs of comments, and the comment of the highest score.

    A row is one pair. Dropped are rows of `close_scores`: one score less than
    `min_score_ratio` times the other.

    Raises:
      CommandError: As `read_rows`; also if a row is not of this format.
    """
    posts: dict[str, list[Rivals]] = {}
    splits: dict[str, str] = {}
    best: dict[str, tuple[float, str]] = {}
    for row in read_rows(source):
        post, scored = field(row, "history", str), _scored(row)
        if scored[0][0] < source.min_score_ratio * max(scored[1][0], 0.0):
            yield Exchange(dropped="close_scores")
            continue
        winner = field(row, "labels", int)  # 1: A
        texts = [field(row, f"human_ref_{side}", str) for side in "AB"]
        chosen, rejected = texts if winner == 1 else texts[::-1]
        splits[post] = row.split
        posts.setdefault(post, []).append(
            Rivals(chosen, rejected, "shp", "shp", judge="shp")
        )
        best[post] = max(best.get(post, scored[0]), scored[0], key=lambda one: one[0])
    for post, rivals in posts.items():
        yield Exchange(
            user_turn(post),
            answer=best[post][1],
            split=splits[post],
            rivals=tuple(rivals),
            num_rows=len(rivals),
        )


def _scored(row: Row) -> list[tuple[float, str]]:
    """Score and text of both comments, the higher score first."""
    scored = [
        (
            float(field(row, f"score_{side}", (int, float))),
            field(row, f"human_ref_{side}", str),
        )
        for side in "AB"
    ]
    return sorted(scored, key=lambda one: -one[0])
