"""Tests of `rlaif_jax.study.pictures`."""

import base64

from rlaif_jax.study.pictures import draw_pictures


def test_only_figures_with_something_to_show_are_drawn(make_study, tmp_path):
    free = make_study(stages=(), curves=(), headline=None)
    assert set(draw_pictures(free, tmp_path)) == {"win_rates"}
    assert {path.name for path in tmp_path.iterdir()} == {
        *("win_rates.png", "win_rates.svg", "differences.png", "differences.svg"),
    }


def test_pictures_are_svg_images_with_the_same_bytes_every_time(make_study, tmp_path):
    study = make_study(curves=(), stages=())
    first, second = (draw_pictures(study, tmp_path)["win_rates"] for _ in range(2))
    assert first == second
    for uri in (first.wide, first.narrow):
        head, _, body = uri.partition(",")
        assert head == "data:image/svg+xml;base64"
        assert b"<svg" in base64.b64decode(body)
