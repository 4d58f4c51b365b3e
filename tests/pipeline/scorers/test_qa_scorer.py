import random

import numpy as np
import pytest
from spacy.training import Example

from spacy_electra.pipeline.questions import register_questions, set_predictions
from spacy_electra.pipeline.scorers.qa import (
    best_over_gold,
    best_threshold,
    exact_match,
    f1,
    normalized,
    score_answers,
)

TEXT = "In 1905 the young Einstein published four papers in Bern."


def test_answers_are_normalized_as_squad_does():
    assert normalized(" The  U.S.\tand an 'A-team' ") == "us and ateam"
    assert normalized("Theatre; another") == "theatre another"
    assert normalized("the") == normalized("!") == ""


def test_f1_counts_words_as_often_as_they_occur():
    assert f1("the four papers", "four papers") == 1.0
    assert f1("four papers", "papers papers four four") == pytest.approx(2 / 3)
    assert f1("Bern", "Basel") == f1("", "Bern") == f1("Bern", "") == 0.0
    assert f1("", "") == f1("the", "") == exact_match("a", "") == 1.0


def test_scores_equal_those_of_transformers():
    squad = pytest.importorskip("transformers.data.metrics.squad_metrics")
    chance = random.Random(0)
    words = ["the", "A", "an", "Bern", "bern,", "four", "(4)", "U.S.", "-", "papers"]
    for _ in range(500):
        answer, gold = (
            " ".join(chance.choices(words, k=chance.randrange(5))) for _ in range(2)
        )
        assert exact_match(answer, gold) == squad.compute_exact(gold, answer)
        assert f1(answer, gold) == pytest.approx(squad.compute_f1(gold, answer))


def test_the_best_of_all_right_answers_counts():
    assert best_over_gold(f1, "four papers", ["Bern", "four"]) == pytest.approx(2 / 3)
    assert best_over_gold(exact_match, "", []) == 1.0
    # An answer of articles alone says nothing, so "no answer" is right.
    assert best_over_gold(exact_match, "", ["the"]) == 1.0
    assert best_over_gold(exact_match, "Bern", ["the"]) == 0.0


def example(nlp, answers, questions=("Who?", "When?", "How many?", "Why?")):
    register_questions()
    predicted, reference = nlp(TEXT), nlp(TEXT)
    predicted._.questions = list(questions)
    reference._.questions = list(questions)
    reference._.answers = [
        [reference[3:5], reference[4:5]],
        reference[1:2],
        reference[6:8],
        None,
    ]
    rows = [[(*answer, 0.5)] if answer else [] for answer in answers]
    candidates = [row or [(0, 2, 0.25)] for row in rows]
    set_predictions(predicted, rows, candidates, [-1.0 if row else 1.0 for row in rows])
    return Example(predicted, reference)


def test_answers_of_docs_are_scored(nlp):
    # "Einstein", "In 1905", None, "Bern".
    scores = score_answers([example(nlp, [(18, 26), (0, 7), None, (52, 56)])])
    assert scores == {
        "qa_em": pytest.approx(1 / 4),
        "qa_f1": pytest.approx((1 + 2 / 3) / 4),
        "qa_has_answer_em": pytest.approx(1 / 3),
        "qa_has_answer_f1": pytest.approx((1 + 2 / 3) / 3),
        "qa_no_answer_acc": 0.0,
        # Answering all is best, but for the fourth, which is as wrong as it is.
        "qa_best_f1": pytest.approx((1 + 2 / 3) / 4),
        "qa_best_threshold": -1.0,
    }
    # "ein", which is part of a token, is no exact match.
    scores = score_answers([example(nlp, [(18, 21), (3, 7), (37, 48), None])])
    assert scores["qa_em"] == 3 / 4 and scores["qa_no_answer_acc"] == 1.0


def test_docs_without_gold_answers_are_not_scored(nlp):
    bare = Example(nlp(TEXT), nlp(TEXT))
    assert set(score_answers([bare]).values()) == {None}
    asked = example(nlp, [None] * 4)
    assert score_answers([bare, asked]) == score_answers([asked])
    assert score_answers([asked])["qa_no_answer_acc"] == 1.0


def test_questions_must_be_the_same_on_both_docs(nlp):
    asked = example(nlp, [None] * 4)
    asked.predicted._.questions = ["Who?"]
    with pytest.raises(ValueError, match=r"SE374.*doc._.questions.*SQuADCorpus"):
        score_answers([asked])


def test_best_threshold_is_that_of_the_best_mean():
    chance = np.random.default_rng(0)
    for _ in range(50):
        margins = chance.integers(-3, 3, 12).astype(float)
        margins[chance.random(12) < 0.1] = np.inf
        answered, silent = chance.random(12), chance.integers(0, 2, 12).astype(float)
        answered[margins == np.inf] = silent[margins == np.inf]
        thresholds = [-10.0, *np.unique(margins[np.isfinite(margins)])]
        means = [np.where(margins > t, silent, answered).mean() for t in thresholds]
        best, threshold = best_threshold(margins, answered, silent)
        assert best == pytest.approx(max(means))
        found = np.where(margins > threshold, silent, answered).mean()
        assert found == pytest.approx(best)
    nothing = np.array([np.inf])
    assert best_threshold(nothing, np.ones(1), np.ones(1)) == (1.0, 0.0)
