"""Tests of `rlaif_jax.labeling.audit_page`: nothing that a model wrote can act."""

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rlaif_jax.labeling.audit import audit
from rlaif_jax.labeling.audit_page import FLAGS, page_data, write_audit_page
from rlaif_jax.labeling.judged import judged_files, preferences

SHARED = Path(__file__).parents[3] / "shared"  # beside the repository
REAL = SHARED / "data" / "alpaca_eval"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="no shared data here")
PAYLOADS = (
    "</script><script>document.title='owned'</script>",
    "<!--<script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"><svg onload=document.title='owned'>",
    "' onmouseover='document.title=1",
    "<a href=\"javascript:document.title='owned'\">x</a>",
    "<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>",
    "<base href='http://192.0.2.1/'><link rel=stylesheet href=//192.0.2.1/x>",
    "{{ 7 * 7 }}{% for x in y %}",
    "</style><style>body{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=http://192.0.2.1/'>",
    "[link](javascript:alert(1))",
    "__proto__",
    "a\u202ebc\u2066d",
    "\x1b[31mred\x1b]0;owned\x07",
    "line\u2028separator",
    "\ud800 alone",
)


def _load_browser():
    spec = importlib.util.spec_from_file_location(
        "browser", Path(__file__).with_name("browser.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


browser = _load_browser()
needs_chromium = pytest.mark.skipif(
    browser.CHROMIUM is None, reason="there is no chromium on PATH"
)


class Parsed(HTMLParser):
    """Tags, attributes and scripts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.scripts, self.texts = [], [], [], []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._inside = tag
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts.append(data)
        else:
            self.texts.append(data)


def written_page(folder, judged, **fields):
    path = folder / "audit.html"
    found = audit(judged, comparisons=len(judged), **fields)
    write_audit_page(path, found, judged, other=fields.get("other"))
    return path


def poisoned(judged):
    """Comparisons in which every foreign text is a payload."""
    return [
        judged(
            number,
            texts=(f"first {payload}", f"second {payload}"),
            writers=(payload, "plain"),
            critic=payload,
            calls=((False, "first"), (True, "first")),
        )
        for number, payload in enumerate(PAYLOADS)
    ]


def test_the_page_holds_every_comparison_and_each_text_once(judged, tmp_path):
    made = [
        judged(0, calls=((False, "first"), (True, "second")), p_first=0.5),
        judged(0, texts=("good", "other"), p_first=0.0),
    ]
    page = Parsed(written_page(tmp_path, made).read_text("utf-8"))
    data = json.loads(page.scripts[0])
    assert data == json.loads(json.dumps(page_data(made, other={})))
    assert data["texts"] == ["question 0", "good", "bad", "other"]
    assert [row[:3] for row in data["rows"]] == [[0, 1, 2], [0, 1, 3]]
    assert data["rows"][0][12] == [[False, 0, None, None], [True, 1, None, None]]


def flags_of(row):
    return {name for bit, name in enumerate(FLAGS) if row[9] >> bit & 1}


def test_flags_say_what_is_odd(judged):
    made = [
        judged(0, calls=((False, "first"), (True, "second")), p_first=0.5),
        judged(1, texts=("short", "much longer"), p_first=1.0),
        judged(2, texts=("longer", "x"), p_first=0.9),
        judged(3, texts=("x", "x"), p_first=0.5),
        judged(4, texts=("", "x"), finish_reasons=("length", "stop"), p_first=None),
    ]
    other = preferences([judged(1, texts=("short", "much longer"), p_first=0.0)])
    rows = page_data(made, other=other)["rows"]
    assert [flags_of(row) for row in rows] == [
        {"flipped with the order"},
        {"the shorter won", "the judges differ"},
        {"the longer won"},
        {"identical texts"},
        {"one text is empty", "a text was cut off"},
    ]
    assert [row[11] for row in rows] == [None, 1, None, None, None]


def test_the_page_is_the_same_for_the_same_labels(judged, tmp_path):
    one = written_page(tmp_path / "a", [judged(0), judged(1)]).read_bytes()
    assert one == written_page(tmp_path / "b", [judged(0), judged(1)]).read_bytes()


def test_only_the_pages_own_script_may_run(judged, tmp_path):
    page = Parsed(written_page(tmp_path, poisoned(judged)).read_text("utf-8"))
    (policy,) = [value for _, _, value in page.attributes if "default-src" in value]
    nonces = {value for _, name, value in page.attributes if name == "nonce"}
    assert len(nonces) == 1
    nonce = nonces.pop()
    assert re.fullmatch(r"[0-9a-f]{32}", nonce)
    assert policy == (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}';"
        " base-uri 'none'; form-action 'none'"
    )
    assert page.tags.count("script") == 2
    assert page.tags.count("style") == 1
    names = {name for _, name, _ in page.attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"style"}
    assert not names & {"href", "src", "srcset", "action", "xlink:href"}


def test_no_text_reaches_the_page_as_markup(judged, tmp_path):
    text = written_page(tmp_path, poisoned(judged)).read_text("utf-8")
    page = Parsed(text)
    own = set(Parsed(written_page(tmp_path, [judged(0)]).read_text("utf-8")).tags)
    assert set(page.tags) <= own | {"li", "ul"}
    data, script = page.scripts
    assert data.isascii()
    assert not set(data) & set("<>&")
    parsed = json.loads(data)
    assert [text for text in parsed["texts"] if text.startswith("first ")] == [
        f"first {payload}" for payload in PAYLOADS
    ]
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "eval(", "document.write"):
        assert word not in script
    assert "[U+202E]" in text  # a generator's name, in the table


def test_the_figures_stand_in_the_page(judged, tmp_path):
    made = [judged(i, p_first=float(i < 3)) for i in range(4)]
    page = Parsed(
        written_page(
            tmp_path, made, other=preferences(made), notes=("Read with care.",)
        ).read_text("utf-8")
    )
    text = " ".join(" ".join(page.texts).split())
    for expected in ("4 labels: 3 first, 1 second", "75.0 %", "Cohen's kappa"):
        assert expected in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Read with care." in text
    assert "Cost a label: no price is recorded." in text


EVERY_ROW = """
(async () => {
  const texts = [];
  for (;;) {
    for (const details of document.querySelectorAll("#list details")) {
      const filled = new Promise((done) => details.addEventListener("toggle", done));
      details.open = true;
      await filled;
      texts.push(details.textContent);
    }
    const next = document.getElementById("next");
    if (next.disabled) return texts;
    next.click();
  }
})()
"""


@needs_chromium
@pytest.mark.anyio
async def test_payloads_stay_inert_in_a_browser(judged, tmp_path):
    path = written_page(tmp_path, poisoned(judged))
    async with browser.opened(path, tmp_path / "profile") as page:
        shown = await page.evaluate(EVERY_ROW)
        assert len(shown) == len(PAYLOADS)
        for text, payload in zip(shown, PAYLOADS, strict=True):
            if payload.isprintable():
                assert f"first {payload}" in text
        assert "a[U+202E]bc[U+2066]d" in "".join(shown)
        assert "[U+001B][31mred[U+001B]]0;owned[U+0007]" in "".join(shown)
        assert "[U+D800] alone" in "".join(shown)
        inside = "document.querySelectorAll('main img, main a, main iframe, main base,"
        inside += " main meta, main link, main script').length"
        assert await page.evaluate(inside) == 0
        title = await page.evaluate("document.title")
        assert title.startswith("Audit of ")
        assert await page.evaluate("getComputedStyle(document.body).display") == "block"
        await page.evaluate("new Promise((done) => setTimeout(done, 300))")
        requested = [
            event["params"]["request"]["url"]
            for event in page.named("Network.requestWillBeSent")
        ]
        assert requested == [path.as_uri()]
        assert not page.named("Runtime.exceptionThrown")
        assert not page.named("Page.javascriptDialogOpening")


@needs_chromium
@pytest.mark.anyio
async def test_a_script_without_the_nonce_does_not_run(judged, tmp_path):
    # shows that the policy above can fail a page: the same script, let in
    path = written_page(tmp_path, [judged(0)])
    extra = "<script>document.title='owned'</script></body>"
    path.write_text(path.read_text("utf-8").replace("</body>", extra))
    async with browser.opened(path, tmp_path / "profile") as page:
        assert await page.evaluate("document.title") == "Audit of judge"
    text = path.read_text("utf-8")
    nonce = re.search(r'<script nonce="(\w+)"', text)[1]
    path.write_text(
        text.replace("<script>document", f'<script nonce="{nonce}">document')
    )
    async with browser.opened(path, tmp_path / "again") as page:
        assert await page.evaluate("document.title") == "owned"


CHOOSE = """
(() => {
  const control = document.getElementById("%s");
  const option = [...control.options].find((one) => one.text === "%s");
  control.value = option.value;
  control.dispatchEvent(new Event("change"));
  return document.getElementById("count").textContent;
})()
"""
SEARCH = """
(async () => {
  const query = document.getElementById("query");
  query.value = "%s";
  query.dispatchEvent(new Event("input"));
  await new Promise((done) => setTimeout(done, 400));
  return document.getElementById("count").textContent;
})()
"""


@needs_chromium
@pytest.mark.anyio
async def test_filters_search_and_pages_show_what_they_say(judged, tmp_path):
    made = [
        judged(
            i,
            p_first=[1.0, 0.0, 0.5, None][i % 4],
            texts=("Needle" if i == 7 else f"text {i}", "hay"),
            writers=("one", "two" if i < 60 else "three"),
        )
        for i in range(120)
    ]
    path = written_page(tmp_path, made)
    async with browser.opened(path, tmp_path / "profile") as page:
        count = "document.getElementById('count').textContent"
        assert await page.evaluate(count) == "120 of 120 comparisons"
        rows = "document.querySelectorAll('#list > li').length"
        assert await page.evaluate(rows) == 50
        turn = "document.getElementById('next').click()"
        await page.evaluate(turn)
        await page.evaluate(turn)
        assert await page.evaluate(rows) == 20
        assert await page.evaluate(CHOOSE % ("verdict", "tie")) == (
            "30 of 120 comparisons"
        )
        assert await page.evaluate(CHOOSE % ("generator", "three")) == (
            "15 of 120 comparisons"
        )
        assert await page.evaluate(CHOOSE % ("generator", "Any")) == (
            "30 of 120 comparisons"
        )
        await page.evaluate(CHOOSE % ("verdict", "Any"))
        assert await page.evaluate(CHOOSE % ("state", "unparsable")) == (
            "30 of 120 comparisons"
        )
        await page.evaluate(CHOOSE % ("state", "Any"))
        assert await page.evaluate(SEARCH % "NEEDLE") == "1 of 120 comparisons"
        assert await page.evaluate(SEARCH % "no such words") == "0 of 120 comparisons"
        assert await page.evaluate(rows) == 0
        await page.evaluate(SEARCH % "")
        assert await page.evaluate(CHOOSE % ("flag", "the longer won")) == (
            "30 of 120 comparisons"
        )


@needs_real
@needs_chromium
@pytest.mark.anyio
async def test_a_page_of_all_recorded_judgments_shows_few_at_a_time(tmp_path):
    files = sorted(REAL.glob("*.annotations.json.gz"))
    path = written_page(tmp_path, judged_files(files))
    async with browser.opened(path, tmp_path / "profile") as page:
        count = "document.getElementById('count').textContent"
        assert await page.evaluate(count) == "9,660 of 9,660 comparisons"
        few = "document.querySelectorAll('*').length < 3000"  # whatever is asked for
        for query in ("france", "haiku", "a", ""):
            await page.evaluate(SEARCH % query)
            assert await page.evaluate(few)
        await page.evaluate("for (let i = 0; i < 5; i += 1) turn(page + 1)")
        assert await page.evaluate(few)
        await page.evaluate("control.order.value = 'difference'; select()")
        assert await page.evaluate(few)


@needs_chromium
@pytest.mark.anyio
@pytest.mark.parametrize(("width", "is_phone"), [(360, True), (1280, False)])
async def test_nothing_sticks_out_of_the_page(judged, tmp_path, width, is_phone):
    made = [
        judged(
            i,
            texts=("x" * 3000, "word " * 300),
            writers=("a-very-long-generator-name-" * 4, "two"),
            calls=((False, "first"), (True, "second")),
        )
        for i in range(5)
    ]
    path = written_page(tmp_path, made, other=preferences(made))
    opened = browser.opened(path, tmp_path / "p", width=width, is_phone=is_phone)
    async with opened as page:
        await page.evaluate(EVERY_ROW)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
