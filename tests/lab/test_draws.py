"""Draws that depend on their key alone."""

import numpy as np
import pytest

from rlaif_jax.lab.draws import uniform


def test_a_draw_depends_on_its_parts_alone():
    first = uniform("role", 1, "text")
    uniform("something", "else")
    assert uniform("role", 1, "text") == first


def test_the_borders_between_parts_count():
    assert uniform("ab", "c") != uniform("a", "bc")
    assert uniform("ab") != uniform("a", "b")


def test_a_lone_surrogate_is_drawn_for_as_well():
    assert 0.0 <= uniform("\ud800") < 1.0


def test_draws_are_uniform():
    draws = [uniform("x", number) for number in range(4000)]
    assert min(draws) >= 0.0 and max(draws) < 1.0
    # standard error of the mean: 1 / sqrt(12 * 4000) = 0.0046; four of them
    assert np.mean(draws) == pytest.approx(0.5, abs=0.019)
    assert np.var(draws) == pytest.approx(1 / 12, abs=0.005)
