"""`nlp.initialize()` without examples, and with too few."""

import warnings
from importlib.metadata import entry_points

import pytest
import spacy
from spacy.training import Example

FACTORIES = sorted(
    point.name
    for point in entry_points(group="spacy_factories")
    if point.name.startswith("electra")
)
TEXT = "The [MASK] sat on the mat."


@pytest.fixture(params=FACTORIES)
def nlp(request):
    if request.param == "electra":
        pytest.importorskip("spacy_transformers")
    nlp = spacy.blank("en")
    nlp.add_pipe(request.param)
    with warnings.catch_warnings():
        # Heads that the bundled checkpoint lacks are new.
        warnings.simplefilter("ignore")
        yield nlp


def test_without_examples_a_pipeline_is_ready(nlp):
    nlp.initialize()
    assert nlp(TEXT).text == TEXT


def test_without_examples_labels_can_be_added_afterwards():
    nlp = spacy.blank("en")
    textcat = nlp.add_pipe("electra_textcat")
    with pytest.warns(UserWarning, match="SW300"):
        nlp.initialize()
    textcat.add_label("GOOD")
    textcat.add_label("BAD")
    assert set(nlp(TEXT).cats) == {"GOOD", "BAD"}


@pytest.mark.parametrize("name", [name for name in FACTORIES if name != "electra"])
def test_data_without_an_example_is_an_error(name):
    nlp = spacy.blank("en")
    nlp.add_pipe(name)
    with pytest.raises(ValueError, match=f"SE456.*{name}"):
        nlp.initialize(lambda: iter(()))


@pytest.mark.parametrize(
    ("name", "code"),
    [("electra_textcat", "SE398"), ("electra_token_classifier", "SE398")],
)
def test_data_without_labels_stays_an_error(name, code):
    nlp = spacy.blank("en")
    nlp.add_pipe(name)
    doc = nlp.make_doc(TEXT)
    with (
        pytest.warns(UserWarning, match="SW300"),
        pytest.raises(ValueError, match=code),
    ):
        nlp.initialize(lambda: [Example(doc, doc)])
