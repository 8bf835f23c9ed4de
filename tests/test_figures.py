"""Tests of `rlaif_jax.figures`."""

import itertools

import pytest
from matplotlib.colors import to_rgb

from rlaif_jax.figures import (
    PALETTE,
    new_figure,
    png_bytes,
    save_drawing,
    save_figure,
    svg_bytes,
)


def test_axes_come_row_by_row_in_the_asked_number():
    figure = new_figure(4.0, 3.0, rows=2, columns=3)

    assert len(figure.axes) == 6
    assert figure.axes[1].get_subplotspec().colspan.start == 1
    assert tuple(figure.get_size_inches()) == (4.0, 3.0)


def test_the_same_figure_gives_the_same_png_bytes():
    def drawn():
        figure = new_figure(2.0, 1.5)
        figure.axes[0].plot([0, 1], [1, 0], color=PALETTE[0])
        return png_bytes(figure)

    assert drawn() == drawn()
    assert drawn().startswith(b"\x89PNG")


def test_saving_leaves_one_file_and_nothing_temporary(tmp_path):
    save_figure(new_figure(2.0, 1.5), tmp_path / "deep" / "figure.png")

    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["figure.png"]


def test_a_drawing_is_saved_as_png_and_as_svg(tmp_path):
    figure = new_figure(2.0, 1.5)
    save_drawing(figure, tmp_path / "v1.5 of it")

    assert (tmp_path / "v1.5 of it.png").read_bytes() == png_bytes(figure)
    assert (tmp_path / "v1.5 of it.svg").read_bytes() == svg_bytes(figure)


def test_a_transparent_svg_has_no_ground():
    figure = new_figure(2.0, 1.5)

    assert svg_bytes(figure) == svg_bytes(figure)
    assert b"fill: #ffffff" in svg_bytes(figure)
    assert b"fill: #ffffff" not in svg_bytes(figure, is_transparent=True)


@pytest.mark.parametrize("pair", [*itertools.combinations(PALETTE, 2)])
def test_no_two_colours_of_the_palette_are_close(pair):
    first, second = (to_rgb(colour) for colour in pair)

    assert sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) > 0.05
