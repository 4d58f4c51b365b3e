"""A text as a page, opened and used in a browser."""

import re
import shutil
import sys

import pytest
import spacy
from spacy.cli._util import app as spacy_app
from typer.testing import CliRunner

import spacy_electra.cli.app  # noqa: F401 (puts its commands below spaCy's)
from spacy_electra.pipeline.display.page import PageOptions, pieces_by, render_page

TEXT = (
    "He was salt by the Senate, and the <quick> brown fox fake over the lazy dog & co."
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def show(*arguments, stdin=None):
    command = ["electra", "show", *map(str, arguments)]
    result = CliRunner().invoke(spacy_app, command, input=stdin)
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, tokenizer):
    """A page with a mark in each line, some of them far to the right."""
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd")
    doc = nlp.make_doc(" ".join([TEXT] * 3))
    marked = [token.i for token in doc if token.text in ("salt", "fake", "dog")]
    for token in doc:
        token._.rtd_score = 0.95 if token.i in marked else 0.02 * (token.i % 10)
    doc.spans["rtd"] = [doc[i : i + 1] for i in marked]
    options = PageOptions(title="Foxes & co", pieces=pieces_by(tokenizer))
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(render_page([doc], options), encoding="utf8")
    return file


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with playwright.sync_playwright() as running:
        try:
            browser = running.chromium.launch(
                executable_path=path, args=["--no-sandbox"]
            )
        except playwright.Error as error:
            pytest.skip(f"needs Chromium, which does not start: {error}")
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, page_file):
    """Opens the page in a window of some size; nothing may be fetched or go wrong."""
    wrong = []

    def open_it(width=1280, **settings):
        viewport = {"width": width, "height": 800}
        page = browser.new_page(viewport=viewport, **settings)
        page.set_default_timeout(5000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url))
        page.goto(page_file.as_uri())
        return page

    yield open_it
    assert [line for line in wrong if line != page_file.as_uri()] == []


def shown_tips(page):
    return [tip for tip in page.locator(".tip").all() if tip.is_visible()]


def test_the_page_has_title_language_and_text(open_page):
    page = open_page()
    assert page.title() == "Foxes & co"
    assert page.locator("h1").inner_text() == "Foxes & co"
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.evaluate("document.characterSet") == "UTF-8"
    # Neither pieces nor tips are part of what is selected and copied.
    page.locator(".show-pieces").uncheck()
    assert TEXT in page.locator(".text").inner_text()


def test_the_pointer_shows_score_and_pieces(open_page):
    page = open_page()
    mark = page.locator(".text mark").first
    assert shown_tips(page) == []
    mark.hover()
    (tip,) = shown_tips(page)
    assert re.search(r"salt\s+score 0\.95, marked\s+pieces salt", tip.inner_text())
    page.keyboard.press("Escape")
    assert shown_tips(page) == []
    page.mouse.move(0, 0)
    mark.hover()
    assert len(shown_tips(page)) == 1


def test_the_tab_key_goes_from_mark_to_mark(open_page):
    page = open_page()
    marks = page.locator(".text mark")
    assert marks.count() == 9
    page.locator(".show-pieces").focus()
    for number in range(marks.count()):
        page.keyboard.press("Tab")
        mark = marks.nth(number)
        assert mark.evaluate("node => node === document.activeElement")
        (tip,) = shown_tips(page)
        assert tip.get_attribute("id") == mark.get_attribute("aria-describedby")
        box = tip.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 1280
    page.keyboard.press("Escape")
    assert shown_tips(page) == []


def test_marks_differ_by_more_than_colour(open_page):
    page = open_page()
    style = "node => [getComputedStyle(node).textDecorationLine, "
    style += "getComputedStyle(node).fontWeight]"
    line, weight = page.locator(".text mark").first.evaluate(style)
    assert line == "underline" and int(weight) > 400
    assert page.locator(".text").evaluate(style) == ["none", "400"]


def test_pieces_can_be_hidden(open_page):
    page = open_page()
    below = page.locator("rt").first
    assert below.is_visible()
    page.locator(".show-pieces").click()
    assert not below.is_visible()


@pytest.mark.parametrize("width", [320, 768, 1000])
def test_nothing_hangs_over_a_narrow_screen(open_page, width):
    page = open_page(width, has_touch=True)
    for mark in page.locator(".text mark").all():
        mark.focus()
        (tip,) = shown_tips(page)
        box = tip.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_in_the_dark(open_page, scheme):
    page = open_page(color_scheme=scheme)
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, "
        "getComputedStyle(document.body).backgroundColor]"
    )
    assert contrast(ink, paper) > 7
    assert (brightness(paper) > 0.5) == (scheme == "light")
    # Of the hottest word, over its own background.
    heat = 0.8
    hot = [
        heat * red + (1 - heat) * own
        for red, own in zip((228, 61, 48), numbers(paper), strict=True)
    ]
    assert contrast(ink, f"rgb({hot})") > 4.5
    page.locator(".text mark").first.focus()
    (tip,) = shown_tips(page)
    colours = tip.evaluate(
        "node => [getComputedStyle(node).color, getComputedStyle(node).backgroundColor]"
    )
    assert contrast(*colours) > 7


def numbers(colour):
    return [float(number) for number in re.findall(r"[\d.]+", colour)[:3]]


def brightness(colour):
    """Relative luminance, as WCAG 2 defines it."""
    shares = [number / 255 for number in numbers(colour)]
    linear = [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in shares
    ]
    return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    light, dark = sorted((brightness(one), brightness(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_text_a_file_and_standard_input_are_shown(tmp_path):
    file = tmp_path / "notes.md"
    file.write_text("# Notes\n\nThe quick <b>brown</b> fox.\n", encoding="utf8")
    status, page = show(file, "--source", "en_tiny")
    assert status == 0 and page.startswith("<!DOCTYPE html>")
    assert "<title>notes.md</title>" in page and "&lt;b&gt;" in page
    assert page.count("<article>") == 2
    status, page = show("-", "--source", "en_tiny", stdin="The quick brown fox.")
    assert status == 0 and "1 text, 4 words" in page
    status, page = show("The quick brown fox.", "--source", "en_tiny")
    assert status == 0 and "1 text, 4 words" in page


def test_a_saved_pipeline_and_a_rate_of_false_marks(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd")
    nlp.initialize()
    nlp.to_disk(tmp_path / "saved")
    saved = ("--source", tmp_path / "saved")
    status, page = show(TEXT, *saved, "--false-marks", 5)
    threshold = spacy.load(tmp_path / "saved").get_pipe("electra_rtd").threshold_for(5)
    assert status == 0 and f"(from {threshold:.2f})" in page


def test_korean_needs_no_mecab(monkeypatch, tmp_path):
    """spaCy's default tokenizer of Korean does."""
    monkeypatch.setitem(sys.modules, "natto", None)
    file = tmp_path / "page.html"
    code, output = show("나는 학교에 간다.", "--lang", "ko", "--output", file)
    assert code == 0, output
    page = file.read_text(encoding="utf8")
    assert all(word in page for word in ("나는", "학교에", "간다"))


@pytest.mark.parametrize(("lang", "named"), [("ja", "sudachipy"), ("qq", "qq")])
def test_a_language_that_spacy_can_not_open_is_one_coded_error(
    monkeypatch, lang, named
):
    monkeypatch.setitem(sys.modules, "sudachipy", None)
    code, output = show("東京", "--lang", lang)
    assert code == 1
    assert output.count("[SE149]") == 1
    assert named in output


def test_suggestions_stand_with_marked_words(browser, tmp_path):
    """Written by the command, and seen under the pointer and with the Tab key."""
    text = "He was salt by the United States Senate on July 27, 1982."
    file = tmp_path / "page.html"
    options = ("--threshold", 0.9, "--suggestions", 2, "--output", file)
    status, _ = show(text, "--source", "en_small", *options)
    assert status == 0
    page = browser.new_page()
    page.set_default_timeout(5000)
    page.goto(file.as_uri())
    assert shown_tips(page) == []
    page.locator(".text mark", has_text="salt").hover()
    (tip,) = shown_tips(page)
    fits = re.findall(r"(\w+) \((\d+)%\)", tip.inner_text())
    assert len(fits) == 2 and "fits:" in tip.inner_text()
    assert fits[0][0] in ("appointed", "elected")
    page.mouse.move(0, 0)
    page.locator(".show-pieces").focus()
    page.keyboard.press("Tab")
    (tip,) = shown_tips(page)
    assert f"{fits[0][0]} (" in tip.inner_text()


def test_pages_without_suggestions(tmp_path):
    status, page = show(TEXT, "--source", "en_tiny", "--suggestions", 0)
    assert status == 0 and "fits:" not in page
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": {"source": "en_tiny"}}})
    nlp.initialize()
    nlp.to_disk(tmp_path / "saved")
    saved = ("--source", tmp_path / "saved", "--threshold", 0.1)
    status, page = show(TEXT, *saved)
    assert status == 0 and "fits:" not in page
    status, output = show(TEXT, *saved, "--suggestions", 2)
    assert status == 1 and "[SE500]" in output


def test_bad_input_is_one_coded_error(tmp_path):
    binary = tmp_path / "picture.bin"
    binary.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe")
    for arguments, code in (
        (("mispelled_name.txt",), "SE542"),
        (("... --- ...",), "SE532"),
        (("",), "SE532"),
        ((binary,), "SE4"),
        ((TEXT, "--source", "en_tiny", "--threshold", 7), "SE003"),
        ((TEXT, "--source", "en_tiny", "--false-marks", 0), "SE003"),
        (
            (TEXT, "--source", "en_tiny", "--false-marks", 2, "--threshold", 0.5),
            "SE504",
        ),
        ((TEXT, "--source", "en_tiny", "--suggestions", -2), "SE003"),
        ((TEXT, "--source", "./nothing_like_it"), "SE20"),
    ):
        status, output = show(*arguments)
        assert status == 1 and f"[{code}" in output, (arguments, output)
