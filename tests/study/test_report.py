"""Tests of `rlaif_jax.study.report`."""

from html.parser import HTMLParser

import pytest

from rlaif_jax.study.claims import ClaimConfig, Headline
from rlaif_jax.study.report import write_report, write_side_by_side
from rlaif_jax.study.results import Sample
from rlaif_jax.study.results_file import read_results

PAYLOADS = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "<a href='javascript:alert(1)'>x</a>",
    "{{ 7 * 7 }}{% for x in y %}",
    "</style><style>body{display:none}</style>",
    "--><!--",
    "[link](javascript:alert(1))",
)
TAGS_OF_THE_TEMPLATE = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "p", "h1"),
    *("h2", "article", "dl", "dt", "dd", "div", "small", "figure", "figcaption", "img"),
    *("picture", "source", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "ul"),
    *("span", "svg", "rect", "line", "circle", "section", "li", "pre"),
}


class Page(HTMLParser):
    """Collects every tag, attribute and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def parse(path) -> Page:
    return Page(path.read_text("utf-8"))


def poisoned(make_study, payload):
    """A study in which every text is the payload."""
    study = make_study(curves=(), samples=(), claims={}, stages=(), headline=None)
    first, second = f"a {payload}", f"b {payload}"
    arms = {
        name: arm.model_copy(update={"description": payload})
        for name, arm in zip((first, second), study.arms.values(), strict=False)
    }
    claim = ClaimConfig(text=payload, greater=first, lesser=second)
    return study.model_copy(
        update={
            "arms": arms,
            "title": payload,
            "baseline": payload,
            "evaluator": payload,
            "headline": Headline(writes=first, judges=second),
            "claims": {payload: claim},
            "samples": (
                Sample(prompt=payload, completions={first: payload, payload: payload}),
            ),
            "command": payload,
            "versions": {payload: payload},
            "notes": (payload,),
        }
    )


@pytest.fixture(scope="module")
def folder(make_study, tmp_path_factory):
    """Where the whole made-up study was reported."""
    folder = tmp_path_factory.mktemp("report")
    assert write_report(make_study(), folder) == folder / "report.html"
    return folder


def test_the_folder_holds_page_results_and_figures(make_study, folder):
    assert read_results(folder / "results.json") == make_study()
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "win_rates.png",
        "differences.png",
        "price.png",
        "training.png",
    }


def test_the_page_needs_nothing_else_and_runs_nothing(folder):
    page = parse(folder / "report.html")
    assert set(page.tags) <= TAGS_OF_THE_TEMPLATE
    links = [value for _, name, value in page.attributes if name in ("src", "srcset")]
    assert len(links) == 6
    assert all(link.startswith("data:image/svg+xml;base64,") for link in links)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    (policy,) = [value for _, name, value in page.attributes if "default-src" in value]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy


@pytest.mark.parametrize("payload", PAYLOADS)
def test_foreign_text_is_shown_and_never_obeyed(make_study, tmp_path, payload):
    page = parse(write_report(poisoned(make_study, payload), tmp_path))
    assert set(page.tags) <= TAGS_OF_THE_TEMPLATE
    assert page.tags.count("style") == 1
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "".join(page.texts).count(payload) >= 10


def test_hidden_characters_are_spelled_out(make_study, tmp_path):
    sample = Sample(prompt="p\u202e", completions={"sft_weak": "\x1b[0m\ud800"})
    path = write_report(make_study(samples=(sample,), curves=(), stages=()), tmp_path)
    text = path.read_text("utf-8")
    assert "p[U+202E]" in text
    assert "[U+001B][0m[U+D800]" in text


def test_figures_of_the_study_stand_in_the_text(make_study, folder):
    study = make_study()
    text = " ".join(parse(folder / "report.html").texts)
    for arm, rate in study.win_rates().items():
        assert arm in text
        assert f"{rate.value:.1f}" in text
    for expected in ("Supported", "$1.39", "1,285,000", "reverse", "Add 12 and 5."):
        assert expected in text
    assert study.command in text
    assert "jax\N{NO-BREAK SPACE}0.10.2" in text


def test_a_bare_study_leaves_out_what_it_has_not(make_study, tmp_path):
    bare = make_study(
        headline=None, claims={}, stages=(), curves=(), samples=(), versions={}, seeds=1
    )
    text = write_report(bare, tmp_path).read_text("utf-8")
    for heading in ("Claims", "Training", "What the arms write"):
        assert f"<h2>{heading}</h2>" not in text
    assert "There is one seed" in text


def test_studies_stand_side_by_side(make_study, tmp_path):
    plain = make_study(seeds=1, curves=(), stages=())
    studies = {"first": plain, "<b>second</b>": plain}
    page = parse(write_side_by_side(studies, tmp_path))
    assert page.tags.count("article") == 2
    assert "<b>second</b>" in page.texts
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"1", "2"}
