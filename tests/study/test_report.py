"""Tests of `rlaif_jax.study.report`."""

import html
import re
from html.parser import HTMLParser

import pytest

from rlaif_jax.study.claims import ClaimConfig, Headline
from rlaif_jax.study.data_build import DataBuild, Overlap
from rlaif_jax.study.label_audit import Rate
from rlaif_jax.study.published import published
from rlaif_jax.study.report import write_report, write_side_by_side
from rlaif_jax.study.results import Sample
from rlaif_jax.study.results_file import read_results
from rlaif_jax.study.settings import Setting
from rlaif_jax.study.wording import flops

# a page at its most dangerous, in one: the corpus has the rest
PAYLOADS = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% for x in y %}",
    "</style><style>body{display:none}</style>",
    "--><!--",
)
TAGS_OF_THE_TEMPLATE = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "p", "h1"),
    *("h2", "article", "dl", "dt", "dd", "div", "small", "figure", "figcaption", "img"),
    *("picture", "source", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "ul"),
    *("span", "svg", "rect", "line", "circle", "section", "li", "pre", "code"),
    *("details", "summary"),
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
            "audits": tuple(
                audit.model_copy(update={"arms": (first,), "critics": (payload,)})
                for audit in study.audits[:1]
            ),
            "builds": (
                DataBuild(
                    step=payload,
                    arms=(second,),
                    stages=1,
                    read=1,
                    kept=0,
                    dropped={payload: 1},
                    cut={payload: 1},
                ),
            ),
            "overlaps": (Overlap(first=payload, second="test", prompts=1, of=2),),
            "settings": (Setting(key=payload, values={first: payload, second: "x"}),),
        }
    )


@pytest.fixture(scope="module")
def folder(make_study, tmp_path_factory):
    """Where the whole made-up study was reported."""
    folder = tmp_path_factory.mktemp("report")
    assert write_report(make_study(), folder).page == folder / "report.html"
    return folder


def test_the_folder_holds_page_results_and_figures(make_study, folder):
    assert read_results(folder / "results.json") == make_study()
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}.{ending}"
        for name in ("win_rates", "differences", "cost", "training", "rewards")
        for ending in ("png", "svg")
    }


def test_the_page_needs_nothing_else_and_runs_nothing(folder):
    page = parse(folder / "report.html")
    assert set(page.tags) <= TAGS_OF_THE_TEMPLATE
    links = [value for _, name, value in page.attributes if name in ("src", "srcset")]
    assert len(links) == 8
    assert all(link.startswith("data:image/svg+xml;base64,") for link in links)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    (policy,) = [value for _, name, value in page.attributes if "default-src" in value]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy


@pytest.mark.parametrize("payload", PAYLOADS)
def test_foreign_text_is_shown_and_never_obeyed(make_study, tmp_path, payload):
    page = parse(write_report(poisoned(make_study, payload), tmp_path).page)
    assert set(page.tags) <= TAGS_OF_THE_TEMPLATE
    assert page.tags.count("style") == 1
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "".join(page.texts).count(payload) >= 10


def test_hidden_characters_are_spelled_out(make_study, tmp_path):
    sample = Sample(prompt="p\u202e", completions={"sft_weak": "\x1b[0m\ud800"})
    path = write_report(
        make_study(samples=(sample,), curves=(), stages=()), tmp_path
    ).page
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
    for expected in ("13,600", "17 duplicate", "91.3", "2,700", "sft.splits", "1.44"):
        assert expected in text  # data, audit, agreement, settings, margin
    for stage in study.stages:
        assert (stage.command in text) == bool(stage.folder)
    won = study.arms["sft_weak"].seeds[0].outcomes["prompt-000"]
    assert {1.0: "won", 0.0: "lost", 0.5: "draw"}[won] in text
    assert study.command in text
    assert "jax\N{NO-BREAK SPACE}0.10.2" in text


def rows(path, head):
    """Every row of the table that has a head, by the labels of its cells."""
    table = next(
        one for one in path.read_text("utf-8").split("<table") if f">{head}</th>" in one
    )
    found = []
    for row in table.split("</table>")[0].split("<tr>")[2:]:
        text = re.sub(r"<(small|span|svg).*?</\1>", "", row)
        cells = re.findall(r'data-label="(.*?)">(.*?)</td>', text, re.DOTALL)
        found.append({label: html.unescape(cell).strip() for label, cell in cells})
    return found


def test_prompts_price_and_flops_of_every_arm_are_told_whichever_is_matched(
    make_study, folder
):
    page = folder / "report.html"
    bills = make_study().bills()
    *arms, whole = rows(page, "Training FLOPs")
    assert [row["Prompts"] for row in arms] == ["6,000", "5,700"] * 2
    # the weak teacher wrote for two arms: .0281, and with the critic .0281 + .3941
    assert [row["To make"] for row in arms] == ["$0.03", "$0.42", "$0.28", "$0.68"]
    assert {row["Training FLOPs"] for row in arms} == {flops(1.25e15)}
    assert whole["Training FLOPs"] == flops(4 * 1.25e15)
    assert all(bill.flops == 1.25e15 for bill in bills.values())
    assert "matched by prompts" in page.read_text("utf-8")


def test_the_papers_numbers_stand_beside_where_they_are_asked_for(make_study, tmp_path):
    figure = published().figures["figure_3"]
    bare = dict.fromkeys(("stages", "curves", "samples", "audits", "builds"), ())
    path = write_report(make_study(**bare, published=figure), tmp_path).page
    text = " ".join(parse(path).texts)
    assert "What the paper published" in text
    assert all(f"{bar.win_rate:.1f}" in text for bar in figure.bars)
    # of the claims' evidence, all that has a bar of figure 3; one worked out by hand:
    # DeepSeek 7B gains 12.75 by AI feedback
    gaps = rows(path, "Claim of the paper")
    assert len(gaps) == len(published().gaps_of(figure)) >= 12
    told = {"Models": "DeepSeek 7B, GPT-4", "Points": "+12.8"}
    assert told.items() <= gaps[0].items()


def test_second_opinions_stand_folded_beside_the_differences(make_study, folder):
    study = make_study()
    pairs = [pair.positive() for pair in study.differences()]
    signs = [study.second_opinion(pair.a, pair.b).sign_test for pair in pairs]
    told = rows(folder / "report.html", "Sign test, p")
    assert [(row["Prompts won"], row["Prompts lost"]) for row in told] == [
        (str(one.n_better), str(one.n_worse)) for one in signs
    ]


@pytest.mark.parametrize(("most", "tables"), [(45, 2), (3, 1)])
def test_pairs_of_unlike_arms_are_folded_or_counted(
    make_study, tmp_path, monkeypatch, most, tables
):
    bare = make_study(stages=(), curves=(), samples=(), audits=(), builds=())
    arms = {
        name: arm.model_copy(update={"facets": {"base": name.split("_")[1]}})
        for name, arm in bare.arms.items()
    }
    monkeypatch.setattr("rlaif_jax.study.report._MOST_ACROSS", most)
    study = bare.model_copy(update={"arms": arms, "claims": {}, "headline": None})
    page = write_report(study, tmp_path).page.read_text("utf-8")
    # of six pairs of two weak and two strong arms, four are of a weak and a strong
    said = "4 pairs that differ in their base or their prompts too"
    assert (f"<summary>{said}</summary>" in page) == (tables == 2)
    assert (f"{said} are not shown" in page) == (tables == 1)
    assert page.count('data-label="p"') == (6 if tables == 2 else 2)
    assert page.count('data-label="Sign test, p"') == 2


def test_a_bare_study_leaves_out_what_it_has_not(make_study, tmp_path):
    nothing = dict.fromkeys(("stages", "curves", "samples", "audits", "builds"), ())
    bare = make_study(
        **nothing, headline=None, claims={}, settings=(), versions={}, seeds=1
    )
    text = write_report(bare, tmp_path).page.read_text("utf-8")
    for heading in (
        *("Claims", "Learning curves", "Reward margins", "Label audit"),
        *("What the arms write", "What went in", "In what the arms differ"),
    ):
        assert f"<h2>{heading}</h2>" not in text
    assert "There is one seed" in text


def test_studies_stand_side_by_side(make_study, tmp_path):
    plain = make_study(seeds=1, curves=(), stages=())
    fewer = make_study(seeds=1, prompts=50, curves=(), stages=())
    studies = {"first": plain, "<b>second</b>": plain, "third": fewer}
    page = parse(write_side_by_side(studies, tmp_path).page)
    assert page.tags.count("article") == 3
    assert "<b>second</b>" in page.texts
    assert "other prompts (50 of 50 prompts in common)" in page.texts
    folders = {path.name for path in (tmp_path / "figures").iterdir()}
    assert folders == {"1", "2", "3", "joint_1.png", "joint_1.svg"}


SHOWN_FIRST = Rate(value=0.512, low=0.498, high=0.526, n=5390)


def crowded(make_study, names):
    """A study of as many arms as there are names, each with every part."""
    study = make_study(claims={}, headline=None)
    arms = dict(zip(names, list(study.arms) * len(names), strict=False))
    copies = {old: tuple(n for n, o in arms.items() if o == old) for old in study.arms}

    def renamed(one):
        owners = tuple(name for arm in one.arms for name in copies[arm])
        return one.model_copy(update={"arms": owners})

    return study.model_copy(
        update={
            "arms": {name: measured(study.arms[old]) for name, old in arms.items()},
            "stages": tuple(map(renamed, study.stages)),
            "audits": tuple(
                renamed(audit).model_copy(
                    update={"rates": audit.rates | {"p_first_shown": SHOWN_FIRST}}
                )
                for audit in study.audits
            ),
            "builds": tuple(map(renamed, study.builds)),
            "curves": tuple(
                curve.model_copy(update={"arm": name})
                for curve in study.curves
                for name in copies[curve.arm][:1]
            ),
            "settings": (
                Setting(key="sft.epochs", values={name: name for name in arms}),
            ),
        }
    )


def measured(arm):
    """An arm with all that is measured of one."""
    more = {"characters": 17.6, "length_controlled_rate": 0.576}
    seeds = (
        seed.model_copy(update={"measures": seed.measures | more}) for seed in arm.seeds
    )
    return arm.model_copy(update={"seeds": tuple(seeds)})


# how far anything reaches beyond the column of text, but what scrolls by itself
REACH = """(() => {
const main = document.querySelector("main");
const end = main.getBoundingClientRect().right
  - parseFloat(getComputedStyle(main).paddingRight);
const parts = [...main.querySelectorAll("*")].filter((one) => !one.closest(".scroll"));
return Math.max(document.documentElement.scrollWidth - window.innerWidth,
  ...parts.map((one) => one.getBoundingClientRect().right - end));
})()"""
ROUNDING_PX = 0.5
A4 = {"width": 673, "height": 980, "deviceScaleFactor": 1, "mobile": False}
SEEN = "document.querySelector('details table').checkVisibility()"
GROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.mark.anyio
async def test_it_fits_a_phone_and_a_desktop_and_unfolds_in_print(
    make_study, browser, tmp_path
):
    names = [f"an arm with a long name, teacher_of_{i}B_parameters" for i in range(10)]
    path = write_report(crowded(make_study, names), tmp_path).page
    async with browser.opened(path, tmp_path / "profile", width=390) as page:
        for width in (320, 390, 1280):
            await page.send(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=900,
                deviceScaleFactor=1,
                mobile=False,
            )
            assert await page.evaluate(REACH) <= ROUNDING_PX
        assert not await page.evaluate(SEEN)
        light = await page.evaluate(GROUND)
        dark = {"name": "prefers-color-scheme", "value": "dark"}
        await page.send("Emulation.setEmulatedMedia", features=[dark])
        assert await page.evaluate(GROUND) != light
        await page.send("Emulation.setEmulatedMedia", media="print", features=[dark])
        assert await page.evaluate(GROUND) == light
        assert await page.evaluate(SEEN)
        await page.send("Emulation.setDeviceMetricsOverride", **A4)
        assert await page.evaluate(REACH) <= ROUNDING_PX


@pytest.mark.anyio
async def test_the_payload_corpus_stays_inert_in_a_browser(
    make_study, browser, hostile, tmp_path
):
    texts = [*hostile.MARKUP, *hostile.TEXTS]
    study = crowded(make_study, hostile.MARKUP)
    samples = tuple(
        Sample(prompt=text, completions={hostile.MARKUP[0]: text, text: text})
        for text in texts
    )
    path = write_report(study.model_copy(update={"samples": samples}), tmp_path).page
    async with browser.opened(path, tmp_path / "profile") as page:
        shown = await page.evaluate("document.body.textContent")
        for text in texts:
            if text.isprintable():
                assert text in shown
        acting = "document.querySelectorAll('script, iframe, a, base, link, object,"
        assert await page.evaluate(acting + " embed, form, input').length") == 0
        assert await page.evaluate("document.title") == study.title
        assert await page.evaluate("getComputedStyle(document.body).display") == "block"
        await page.evaluate("new Promise((done) => setTimeout(done, 300))")
        requested = [
            event["params"]["request"]["url"]
            for event in page.named("Network.requestWillBeSent")
        ]
        assert [url for url in requested if not url.startswith("data:")] == [
            path.as_uri()
        ]
        assert not page.named("Runtime.exceptionThrown")
        assert not page.named("Page.javascriptDialogOpening")
        assert not page.named("Log.entryAdded")
