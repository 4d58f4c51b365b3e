"""What `electra_rtd` reports, under which names, and what it leaves open."""

import pytest
import spacy
import srsly
from spacy.cli._util import app
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from typer.testing import CliRunner

WORDS = ["He", "was", "salt", "by", "the", "Senate", "on", "July", "27", "."]


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("en")
    config = {"objective": "supervised", "model": {"encoder": {"precision": "fp32"}}}
    nlp.add_pipe("electra_rtd", config=config)
    return nlp


def reference(nlp, *marked, key="rtd"):
    doc = Doc(nlp.vocab, words=WORDS)
    doc.spans[key] = [Span(doc, i, j, "ERROR") for i, j in marked]
    return doc


def scores(nlp, *references):
    made = [Doc(nlp.vocab, words=[t.text for t in doc]) for doc in references]
    return nlp.evaluate([Example(*pair) for pair in zip(made, references, strict=True)])


def test_spans_are_scored_beside_words(nlp):
    found = [
        token.i for token in nlp(Doc(nlp.vocab, words=WORDS)) if token._.is_replaced
    ]
    assert found
    right = scores(nlp, reference(nlp, *((i, i + 1) for i in found)))
    assert [right[f"spans_rtd_{m}"] for m in "prf"] == [1.0, 1.0, 1.0]
    assert [right[f"rtd_{m}"] for m in "prf"] == [1.0, 1.0, 1.0]
    # Of a span of two words, one is found, so the span as a whole is not.
    (first, *_) = found
    half = scores(nlp, reference(nlp, (first, first + 2)))
    assert half["spans_rtd_r"] == 0.0 and half["rtd_r"] >= 0.5


def test_what_was_not_measured_is_none(nlp):
    names = ("auc", "p", "r", "f", "f05", "base_rate")
    for docs in ((), (reference(nlp, (1, 2), key="another"),)):
        without = scores(nlp, *docs)
        assert [without[f"rtd_{name}"] for name in names] == [None] * 6
        assert [without[f"spans_rtd_{m}"] for m in "prf"] == [None] * 3
    # There is gold, but nothing in it that could be found.
    clean = scores(nlp, reference(nlp))
    assert clean["rtd_base_rate"] == 0.0
    assert (clean["rtd_auc"], clean["rtd_r"], clean["rtd_f"]) == (None, None, None)
    component = nlp.get_pipe("electra_rtd")
    threshold, component.threshold = component.threshold, 1.0
    try:
        unmarked = scores(nlp, reference(nlp, (2, 3)))
    finally:
        component.threshold = threshold
    assert unmarked["rtd_p"] is None and unmarked["rtd_r"] == 0.0


@pytest.mark.parametrize("factory", ["electra_textcat", "electra_token_classifier"])
def test_other_components_report_no_zeros_without_gold(factory):
    nlp = spacy.blank("en")
    nlp.add_pipe(factory)
    with pytest.warns(UserWarning, match="SW300"):
        found = scores(nlp, Doc(nlp.vocab, words=WORDS))
    own = {k: v for k, v in found.items() if k.startswith(("cats", "ents"))}
    assert own and set(own.values()) == {None}


@pytest.fixture(scope="module")
def saved(nlp, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    nlp.to_disk(folder / "pipeline")
    docs = [reference(nlp, (2, 3)), reference(nlp, (3, 4))]
    DocBin(docs=docs).to_disk(folder / "gold.spacy")
    return folder


def command(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_spacys_commands_show_the_scores_of_spans(saved, tmp_path):
    pipeline, gold = saved / "pipeline", saved / "gold.spacy"
    for name in (("evaluate",), ("benchmark", "accuracy")):
        output = tmp_path / "scores.json"
        shown = command(*name, pipeline, gold, "--spans-key", "rtd", "--output", output)
        assert "SPAN F" in shown
        measured = srsly.read_json(output)
        assert measured["spans_rtd_f"] > 0
        assert f"{100 * measured['spans_rtd_r']:.2f}" in shown


def test_find_threshold_finds_one(saved):
    key = ("threshold", "spans_rtd_f", "--n_trials", 5)
    arguments = (saved / "pipeline", saved / "gold.spacy", "electra_rtd", *key)
    assert "Best threshold" in command("find-threshold", *arguments)
