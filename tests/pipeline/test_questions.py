import pickle

import pytest
from spacy.tokens import Doc, DocBin, Span
from spacy.tokens.underscore import Underscore

from spacy_electra.pipeline.choices import gold_choice, register_choices, set_choice
from spacy_electra.pipeline.questions import (
    Answer,
    answer_at,
    gold_answers,
    has_gold_answers,
    register_questions,
    set_predictions,
)

TEXT = "It cost US$3 per barrel."


@pytest.fixture
def doc(nlp):
    register_questions()
    register_choices()
    return nlp(TEXT)


def copies(doc):
    """The Doc after each way that a Doc travels."""
    docs = DocBin(docs=[doc], store_user_data=True).to_bytes()
    yield next(DocBin().from_bytes(docs).get_docs(doc.vocab))
    yield Doc(doc.vocab).from_bytes(doc.to_bytes())
    yield doc.copy()


def test_answer_covers_the_tokens_that_it_touches(doc):
    answer = answer_at(doc, 10, 16, score=0.25)
    assert isinstance(answer, Span) and isinstance(answer, Answer)
    assert (answer.text, answer.start, answer.end) == ("US$3 per", 2, 5)
    assert answer.exact_text == TEXT[10:16] == "$3 per"
    assert answer.score == 0.25
    assert answer == doc[2:5]
    doc.ents = [Span(doc, answer.start, answer.end, label="MONEY")]


@pytest.mark.parametrize(("start", "end"), [(3, 3), (-1, 4), (3, 99), (99, 100)])
def test_characters_outside_of_the_text_are_refused(doc, start, end):
    with pytest.raises(ValueError, match=r"SE370.*24 characters"):
        answer_at(doc, start, end)


def test_answers_to_questions_last(doc):
    doc._.questions = ["How much?", "Who?"]
    found = [[(10, 12, 0.75)], []]
    candidates = [[(10, 12, 0.75), (8, 12, 0.125)], [(0, 2, 0.25)]]
    set_predictions(doc, found, candidates, [-4.0, 1.5])
    for same in (doc, *copies(doc)):
        assert same._.questions == ["How much?", "Who?"]
        how_much, who = same._.answers
        assert (how_much.text, how_much.exact_text) == ("US$3", "$3")
        assert how_much.score == 0.75 and how_much.doc is same
        assert who is None
        texts = [[each.exact_text for each in row] for row in same._.answer_candidates]
        assert texts == [["$3", "US$3"], ["It"]]
        assert same._.no_answer_scores == [-4.0, 1.5]


def test_gold_answers_are_spans_and_last(doc):
    assert not has_gold_answers(doc)
    doc._.questions = ["How much?", "Who?", "Per what?"]
    doc._.answers = [[doc[2:4], doc[3:4]], None, doc[5:6]]
    for same in (doc, *copies(doc)):
        assert has_gold_answers(same)
        expected = [[(8, 12, 1.0), (11, 12, 1.0)], [], [(17, 23, 1.0)]]
        assert gold_answers(same) == expected
        assert [each and each.text for each in same._.answers] == [
            "US$3",
            None,
            "barrel",
        ]


def test_attributes_reach_processes_that_are_spawned(doc):
    names = ("questions", "no_answer_scores", "choices", "choice_scores")
    state = pickle.loads(pickle.dumps(Underscore.get_state()))[2]
    assert all(name in state for name in names)


def test_attribute_of_another_kind_is_not_taken_for_ours(doc):
    theirs = {"getter": len}, {"default": None}, {"method": len}
    try:
        for ways in theirs:
            Doc.set_extension("answers", force=True, **ways)
            with pytest.raises(ValueError, match=r"SE382.*doc._.answers"):
                register_questions()
    finally:
        Doc.remove_extension("answers")
        register_questions()
    assert doc._.answers == []


def test_nothing_set_is_nothing(doc):
    assert doc._.questions == doc._.answers == doc._.answer_candidates == []
    assert doc._.no_answer_scores == []
    assert doc._.choices == doc._.choice_scores == []
    assert doc._.question == "" and doc._.choice is None
    assert gold_answers(doc) == [] and gold_choice(doc) is None


@pytest.mark.parametrize("questions", ["Who?", [1], None, {"a": 1}])
def test_questions_that_are_no_list_of_strings_are_refused(doc, questions):
    with pytest.raises(ValueError, match=r"SE372.*questions"):
        doc._.questions = questions
    with pytest.raises(ValueError, match=r"SE372.*choices"):
        doc._.choices = questions


def test_gold_answers_that_are_no_spans_of_the_doc_are_refused(doc, nlp):
    for wrong in ("US$3", 8, nlp(TEXT)[2:4], doc[2:2], [doc[2:4], "US$3"]):
        with pytest.raises(ValueError, match=r"SE373"):
            doc._.answers = [wrong]


def test_gold_answers_must_be_as_many_as_the_questions(doc):
    doc._.questions = ["How much?", "Who?"]
    doc._.answers = [None]
    with pytest.raises(ValueError, match=r"SE371.*1 entries.*has 2"):
        gold_answers(doc)


def test_choice_lasts(doc):
    doc._.choices = ["three", "four"]
    doc._.question = "How much?"
    set_choice(doc, 0, [0.75, 0.25])
    for same in (doc, *copies(doc)):
        assert same._.choices == ["three", "four"]
        assert (same._.choice, same._.choice_scores) == (0, [0.75, 0.25])
        assert same._.question == "How much?"
        assert gold_choice(same) == 0


@pytest.mark.parametrize("choice", [2, -1, "three", True, 0.0])
def test_gold_choice_that_is_none_of_the_choices_is_refused(doc, choice):
    doc._.choices = ["three", "four"]
    doc._.choice = choice
    with pytest.raises(ValueError, match=r"SE379.*2 choices"):
        gold_choice(doc)
