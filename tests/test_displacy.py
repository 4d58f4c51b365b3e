"""Scores in a notebook, and marked words by spaCy's own displaCy."""

import sys
import threading
import types
import urllib.request

import pytest
import spacy
import spacy.displacy

from spacy_electra import displacy

TEXT = "The quick brown fox fake over the lazy dog. He go to school every day."


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd", config={"threshold": 0.2})
    return nlp


@pytest.fixture
def doc(nlp):
    doc = nlp(TEXT)
    assert len(doc.spans["rtd"]) > 0
    return doc


def test_html_comes_back(doc, nlp):
    html = displacy.render(doc, nlp=nlp)
    assert html.startswith('<div class="electra">')
    assert html.count('<mark tabindex="0"') == len(doc.spans["rtd"])
    page = displacy.render([doc, doc], page=True, options={"title": "Foxes"})
    assert page.startswith("<!DOCTYPE html>") and "<title>Foxes</title>" in page
    assert page.count("<article>") == 2


def test_a_part_of_a_doc_has_the_marks_inside_of_it(doc):
    part = doc[10:]
    html = displacy.render(part)
    inside = [span for span in doc.spans["rtd"] if span.start >= 10]
    assert html.count('<mark tabindex="0"') == len(inside)
    assert "fox" not in html.partition("<article>")[2]


def test_a_notebook_displays_it(doc, monkeypatch):
    shown = []
    notebook = types.ModuleType("IPython.display")
    notebook.HTML = str
    notebook.display = shown.append
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    assert displacy.render(doc, jupyter=True) is None
    assert shown[0].startswith('<span class="tex2jax_ignore"><div class="electra">')
    monkeypatch.setattr(displacy, "is_in_jupyter", lambda: True)
    assert displacy.render(doc) is None and len(shown) == 2
    assert displacy.render(doc, jupyter=False) is not None and len(shown) == 2


def test_what_is_no_doc_is_an_error():
    with pytest.raises(ValueError, match=r"SE544.*not str"):
        displacy.render("a text")


def test_a_page_is_served(doc, monkeypatch):
    from wsgiref import simple_server

    started, servers = threading.Event(), []
    make = simple_server.make_server

    def make_server(*arguments):
        servers.append(make(*arguments))
        started.set()
        return servers[0]

    monkeypatch.setattr(simple_server, "make_server", make_server)
    options = {"port": 5731, "auto_select_port": True}
    thread = threading.Thread(target=displacy.serve, args=(doc,), kwargs=options)
    thread.start()
    assert started.wait(10)
    host, port = servers[0].server_address
    assert host == "127.0.0.1"
    with urllib.request.urlopen(f"http://{host}:{port}") as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert b"<mark" in answer.read()
    servers[0].shutdown()
    thread.join(10)
    assert not thread.is_alive()


def test_spacys_own_displacy_shows_marked_words(doc):
    options = {"spans_key": "rtd"}
    html = spacy.displacy.render(doc, style="span", options=options, jupyter=False)
    assert html.count("REPLACED") == len(doc.spans["rtd"])
