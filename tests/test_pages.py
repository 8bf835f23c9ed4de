"""Tests of `rlaif_jax.pages`."""

import jinja2
import pytest
from markupsafe import Markup

from rlaif_jax.pages import page_environment


@pytest.fixture
def render(tmp_path):
    """Renders a template with values."""

    def go(template, **values):
        (tmp_path / "page.html").write_text(template)
        return page_environment(tmp_path).get_template("page.html").render(**values)

    return go


def test_foreign_text_is_escaped_and_shown(render):
    shown = render("<p>{{ text }}</p>", text="<b>\N{RIGHT-TO-LEFT OVERRIDE}")
    assert shown == "<p>&lt;b&gt;[U+202E]</p>"


def test_markup_of_the_template_stays_markup(render):
    assert render("{{ part }}", part=Markup("<b>7</b>")) == "<b>7</b>"


def test_a_value_that_is_missing_is_an_error(render):
    with pytest.raises(jinja2.UndefinedError, match="nobody"):
        render("{{ nobody }}")
