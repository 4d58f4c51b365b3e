"""What extension attributes hold before a component has set anything."""

import warnings
from importlib.metadata import entry_points

import pytest
import spacy

TEXT = "The [MASK] sat on the mat."
FACTORIES = sorted(
    point.name
    for point in entry_points(group="spacy_factories")
    if point.name.startswith("electra_")
)


@pytest.fixture
def nlp():
    return spacy.blank("en")


def attributes(nlp, factory, owner):
    """Names of the extension attributes that a component sets on Docs or tokens."""
    assigned = nlp.get_factory_meta(factory).assigns
    return [name.removeprefix(owner) for name in assigned if name.startswith(owner)]


@pytest.mark.parametrize("factory", FACTORIES)
def test_what_was_not_set_is_of_the_type_that_is_set(nlp, factory):
    config = {"hidden": "piece"} if factory == "electra_mlm" else {}
    nlp.add_pipe(factory, config=config)
    unseen, seen = nlp.make_doc(TEXT), nlp.make_doc(TEXT)
    for doc in (unseen, seen):
        if factory == "electra_qa":
            doc._.questions = ["Where?"]
        elif factory == "electra_multiple_choice":
            doc._.choices = ["one", "two"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nlp(seen)
    for name in attributes(nlp, factory, "token._."):
        before, after = unseen[0]._.get(name), seen[0]._.get(name)
        assert type(before) is type(after), name
        assert not before
    for name in attributes(nlp, factory, "doc._."):
        before, after = unseen._.get(name), seen._.get(name)
        # What is one of a Doc, and not a list of any length, is not there at all.
        assert before == [] or before is None, name
        assert type(after) is not type(None) and (before is None or type(after) is list)


def test_scores_are_zero_and_flags_false_on_docs_of_other_pipelines(nlp):
    nlp.add_pipe(
        "electra_rtd", config={"score_attribute": "s1", "flag_attribute": "f1"}
    )
    doc = spacy.blank("de")("Ein Satz.")
    assert [(token._.s1, token._.f1) for token in doc] == [(0.0, False)] * 3
    assert sorted(doc, key=lambda token: token._.s1) == list(doc)
