"""A bundled checkpoint of one language in a pipeline of another."""

import warnings

import pytest
import spacy

from spacy_electra import ElectraForPreTraining, ElectraTokenizer

TEXT = "Der Fluss tritt jedes Jahr im Frühling über die Ufer."


def said(nlp, uses=2):
    """The codes of warnings that come of using a pipeline."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(uses):
            nlp(TEXT)
    return [str(w.message) for w in caught if "[SW456]" in str(w.message)]


def pipeline(factory="electra_rtd", lang="de", source="en_tiny"):
    nlp = spacy.blank(lang)
    if factory == "electra":
        pytest.importorskip("spacy_transformers")
        model = {"name": source}
    else:
        model = {"encoder": {"source": source}}
    nlp.add_pipe(factory, config={"model": model})
    return nlp


@pytest.mark.parametrize(
    ("factory", "source"),
    [
        ("electra_rtd", "en_tiny"),
        ("electra_textcat", "en_tiny"),
        ("electra", "en_tiny"),
        ("electra_mlm", "en_tiny/generator"),
        ("electra_causal_lm", "en_tiny/generator"),
    ],
)
def test_a_bundled_checkpoint_of_another_language_warns_once(factory, source):
    (message,) = said(pipeline(factory, source=source))
    assert repr(source) in message and "'en'" in message and "'de'" in message


@pytest.mark.parametrize("lang", ["en", "xx"])
def test_nothing_is_said_where_it_fits(lang):
    assert said(pipeline(lang=lang)) == []


def test_a_saved_pipeline_says_nothing_when_it_is_loaded(tmp_path):
    nlp = pipeline()
    assert len(said(nlp)) == 1
    nlp.to_disk(tmp_path / "saved")
    assert said(spacy.load(tmp_path / "saved")) == []


def test_a_checkpoint_of_a_folder_is_for_any_language(tmp_path):
    ElectraForPreTraining.from_pretrained("en_tiny").save_pretrained(tmp_path)
    ElectraTokenizer.from_pretrained("en_tiny").save_pretrained(tmp_path)
    assert said(pipeline(source=str(tmp_path))) == []
