"""Two components of a pipeline that would overwrite each other are refused."""

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

TEXT = "He was salt by the Senate on July 27."
OWN_PLACES = {
    "electra_rtd": {
        "score_attribute": "other_score",
        "flag_attribute": "other_flag",
        "spans_key": "other",
    },
    "electra_token_classifier": {
        "label_attribute": "other_label",
        "score_attribute": "other_label_score",
    },
    "electra_causal_lm": {
        "surprisal_attribute": "other_surprisal",
        "likelihood_attribute": "other_likelihood",
    },
    "electra_mlm": {"masks_attribute": "other_masks"},
}
FIXED = ("electra_qa", "electra_multiple_choice")


@pytest.fixture
def nlp():
    return spacy.blank("en")


def gold(nlp, cats=(), key="rtd"):
    doc = nlp.make_doc(TEXT)
    reference = Doc(
        nlp.vocab,
        words=[token.text for token in doc],
        spaces=[bool(token.whitespace_) for token in doc],
    )
    reference.spans[key] = [Span(reference, 2, 3, "ERROR")]
    reference.cats = dict(zip(cats, (1.0, 0.0), strict=False))
    return Example(doc, reference)


@pytest.mark.parametrize("factory", [*OWN_PLACES, *FIXED])
def test_a_second_one_is_refused(nlp, factory):
    nlp.add_pipe(factory)
    with pytest.raises(ValueError, match=rf"\[SE457\] 'second'.*{factory}") as refused:
        nlp.add_pipe(factory, name="second")
    for setting in OWN_PLACES.get(factory, ()):
        is_set = setting != "spans_key" or factory == "electra_rtd"
        assert (setting in str(refused.value)) is is_set
    assert nlp.pipe_names == [factory]


@pytest.mark.parametrize("factory", OWN_PLACES)
def test_one_with_places_of_its_own_joins(nlp, factory):
    nlp.add_pipe(factory)
    nlp.add_pipe(factory, name="second", config=OWN_PLACES[factory])
    again = spacy.blank("en").from_config(nlp.config)
    assert again.pipe_names == [factory, "second"]


@pytest.mark.parametrize("left", ["score_attribute", "flag_attribute", "spans_key"])
def test_one_place_in_common_is_enough(nlp, left):
    nlp.add_pipe("electra_rtd")
    config = {k: v for k, v in OWN_PLACES["electra_rtd"].items() if k != left}
    with pytest.raises(ValueError, match=rf"SE457.*Set {left} of one"):
        nlp.add_pipe("electra_rtd", name="second", config=config)


def test_suggestions_of_two_go_to_attributes_of_their_own(nlp):
    """Spans of one place share their attributes, whatever group they are in."""
    nlp.add_pipe("electra_rtd", config={"suggestions": 3})
    config = {**OWN_PLACES["electra_rtd"], "suggestions": 1}
    with pytest.raises(ValueError, match=r"span._.suggestions.*Set suggestion_attr"):
        nlp.add_pipe("electra_rtd", name="second", config=config)
    config["suggestion_attribute"] = "others"
    nlp.add_pipe("electra_rtd", name="second", config=config)


def test_a_config_with_two_is_refused(nlp):
    nlp.add_pipe("electra_rtd")
    nlp.add_pipe("electra_rtd", name="second", config=OWN_PLACES["electra_rtd"])
    config = nlp.config.copy()
    config["components"]["second"]["spans_key"] = "rtd"
    with pytest.raises(ValueError, match="SE457"):
        spacy.blank("en").from_config(config)


def test_spans_of_spacys_own_components_count(nlp):
    nlp.add_pipe("spancat", config={"spans_key": "rtd"})
    with pytest.raises(ValueError, match=r"SE457.*'spancat'.*spans_key"):
        nlp.add_pipe("electra_rtd")


def test_one_that_takes_the_place_of_another_is_not_refused(nlp):
    nlp.add_pipe("electra_rtd")
    nlp.remove_pipe("electra_rtd")
    nlp.add_pipe("electra_rtd", name="second")
    nlp.replace_pipe("second", "electra_rtd", config={"threshold": 0.7})
    assert nlp.get_pipe("second").threshold == 0.7


def test_categories_may_be_shared_out_but_not_set_twice(nlp):
    model = {"problem_type": "single_label_classification"}
    for name in ("one", "two"):
        nlp.add_pipe("electra_textcat", name=name, config={"model": model})
    example = gold(nlp, ("GOOD", "BAD"))
    with pytest.raises(ValueError, match=r"SE457.*doc.cats\['BAD'\]"):
        nlp.initialize(lambda: [example])
    nlp.get_pipe("one").initialize(lambda: [gold(nlp, ("LONG", "SHORT"))], nlp=nlp)
    nlp.get_pipe("two").initialize(lambda: [example], nlp=nlp)
    assert set(nlp(TEXT).cats) == {"GOOD", "BAD", "LONG", "SHORT"}


def test_two_detectors_have_scores_under_names_of_their_own(nlp):
    config = {"objective": "supervised"}
    nlp.add_pipe("electra_rtd", config=config)
    alone = nlp.evaluate([gold(nlp)])
    assert not any("other" in name for name in alone)
    nlp.add_pipe(
        "electra_rtd", name="second", config={**OWN_PLACES["electra_rtd"], **config}
    )
    nlp.get_pipe("second").cfg["threshold"] = 0.0
    example = gold(nlp)
    example.reference.spans["other"] = [Span(example.reference, 0, 1, "ERROR")]
    scores = nlp.evaluate([example])
    for name in ("rtd_auc", "rtd_p", "rtd_f05", "spans_rtd_f"):
        assert scores[name] == alone[name]
    assert scores["rtd_rtd_auc"] == scores["rtd_auc"]
    assert scores["rtd_other_r"] == scores["spans_other_r"] == 1.0
    assert scores["rtd_other_p"] == pytest.approx(1 / len(example.reference))
    assert scores["rtd_other_auc"] != scores["rtd_auc"]
