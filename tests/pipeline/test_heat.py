"""Scores as colours on a page."""

from spacy_electra.pipeline.heat import heat_colour, render_heat


def test_colours_go_from_white_to_red():
    assert heat_colour(0.0) == heat_colour(-1.0) == "#ffffff"
    assert heat_colour(1.0) == heat_colour(2.0) == "#e43d30"
    assert "#e43d30" < heat_colour(0.4) < heat_colour(0.2) < "#ffffff"


def test_page_escapes_text_and_marks_only_what_is_warm(nlp):
    nlp.add_pipe("electra_rtd")
    doc = nlp("a <b> c")
    for token, score in zip(doc, (0.0, 0.9, 0.9, 0.9, 0.05), strict=True):
        token._.rtd_score = score
    html = render_heat([doc], page=False)
    assert "<b>" not in html and "&lt;" in html
    assert html.count("<mark") == 3
