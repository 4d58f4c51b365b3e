"""Scores as a page: escaped, marked by more than colour, from nowhere but itself."""

import re

import pytest
from spacy.tokens import Span

from spacy_electra.pipeline.display.heat import heat_colour
from spacy_electra.pipeline.display.page import PageOptions, options_from, render_page


@pytest.fixture
def doc(nlp):
    """Five tokens, of which the second and the fourth are marked."""
    nlp.add_pipe("electra_rtd")
    doc = nlp("a <b> unbelievably c & d")
    tokens = {token.text: token for token in doc}
    for token in doc:
        token._.rtd_score = 0.05
    tokens["<"]._.rtd_score = 0.9
    tokens["unbelievably"]._.rtd_score = 0.7
    tokens["c"]._.rtd_score = 0.3
    doc.spans["rtd"] = [doc[i : i + 1] for i in (1, tokens["unbelievably"].i)]
    return doc


@pytest.fixture
def suggestions():
    """The extension attribute for words that would fit."""
    before = Span.has_extension("suggestions")
    if not before:
        Span.set_extension("suggestions", default=None)
    yield
    if not before:
        Span.remove_extension("suggestions")


def text_of(html):
    """What is seen, without what appears under the pointer alone."""
    html = re.sub(r"<(style|script|rt)\b.*?</\1>", "", html, flags=re.DOTALL)
    html = re.sub(r'<span class="tip".*?</span></(mark|span)>', "", html)
    return re.sub(r"<[^>]+>", "", html)


def test_colours_go_from_white_to_red():
    assert heat_colour(0.0) == heat_colour(-1.0) == "#ffffff"
    assert heat_colour(1.0) == heat_colour(2.0) == "#e43d30"
    assert "#e43d30" < heat_colour(0.4) < heat_colour(0.2) < "#ffffff"


def test_a_page_is_whole_and_stands_alone(doc):
    html = render_page([doc], PageOptions(title="<Heat> & co"))
    assert html.startswith("<!DOCTYPE html>")
    assert '<html lang="en">' in html and '<meta charset="utf-8">' in html
    assert '<meta name="viewport"' in html
    assert "<title>&lt;Heat&gt; &amp; co</title>" in html
    assert "prefers-color-scheme: dark" in html
    # Nothing is fetched.
    assert not re.search(r"https?:|//\w|url\(|@import|\bsrc=|<link", html)


def test_text_is_escaped_and_only_marked_words_can_be_tabbed_to(doc):
    html = render_page([doc], page=False)
    assert "a &lt;b&gt; unbelievably c &amp; d" in text_of(html)
    assert "<b>&lt;</b>" in html
    assert html.count('<mark tabindex="0"') == html.count('role="tooltip"') == 2
    assert html.count('class="warm"') == 1
    for name in re.findall(r'aria-describedby="([^"]+)"', html):
        assert html.count(f'id="{name}"') == 1
    assert "1 text, 5 words, 2 marked, 400.0 per 1,000 words." in html


def test_names_of_marks_differ_from_page_to_page(doc, nlp):
    other = nlp("another text of zebras and furiously")
    other.spans["rtd"] = [other[1:2]]
    names = re.findall(r' id="([^"]+)"', render_page([doc]) + render_page([other]))
    assert len(names) == len(set(names)) == 3


def test_a_span_of_several_words_is_one_mark(doc):
    doc.spans["rtd"] = [doc[0:3], doc[1:2], doc[4:6]]
    html = render_page([doc], page=False)
    assert html.count('<mark tabindex="0"') == 2
    assert "<b>a &lt;b</b>" in html and "score 0.90" in html
    assert "a &lt;b&gt; unbelievably c &amp; d" in text_of(html)


def test_pieces_stand_under_words_of_several(doc, nlp):
    html = render_page([doc], options_from(nlp), page=False)
    found = re.findall(r'<rt aria-hidden="true">([^<]+)</rt>', html)
    assert len(found) == 1
    assert found[0].replace(" ##", "") == "unbelievably"
    assert f"pieces <code>{found[0]}</code>" in html
    assert "show-pieces" in html and "(from 0.50)" in html
    plain = render_page([doc], page=False)
    assert "<ruby>" not in plain and '<input type="checkbox"' not in plain


def test_suggestions_are_named_where_there_are_any(doc, suggestions):
    doc.spans["rtd"][1]._.suggestions = [("<i>word</i>", 0.41), ("other", 0.2)]
    html = render_page([doc], page=False)
    assert "fits: &lt;i&gt;word&lt;/i&gt; (41%)" in html and "other (20%)" in html
    assert html.count("fits:") == 1


def test_planted_words_are_found_missed_or_mistaken(doc):
    planted = [{2: "x<y", doc[5].idx: "was"}]
    html = render_page([doc], PageOptions(planted=planted), page=False)
    assert "marked, put in for “x&lt;y”" in html
    assert "marked, belongs" in html
    assert "not marked, put in for “was”" in html
    assert html.count('class="missed" tabindex="0"') == 1


def test_other_names_of_attributes_and_writing_systems(doc, nlp):
    nlp.vocab.writing_system = {"direction": "rtl"}
    doc.spans["wrong"] = [doc[0:1]]
    options = PageOptions(spans_key="wrong", titles=["A & B"], note="Note.")
    html = render_page([doc], options, page=False)
    nlp.vocab.writing_system = {"direction": "ltr"}
    assert html.count('<mark tabindex="0"') == 1
    assert 'dir="rtl"' in html and "<h2>A &amp; B</h2>" in html and "Note. 1" in html


def test_what_is_no_option_is_an_error(nlp):
    with pytest.raises(ValueError, match=r"SE543.*'colour'.*title"):
        options_from(None, colour="red")
    with pytest.raises(ValueError, match="SE540"):
        options_from(nlp)


def test_an_empty_doc_is_no_problem(nlp):
    html = render_page([nlp.make_doc("")])
    assert "1 text, 0 words, 0 marked." in html
    assert "0 texts" in render_page([])
