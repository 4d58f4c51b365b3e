import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score, precision_score, recall_score, roc_auc_score

from spacy_electra.metrics import (
    area_under_curve,
    detection,
    proportion_interval,
    reliability,
)

pairs = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0]), st.booleans()),
    min_size=2,
    max_size=40,
)


@given(pairs=pairs)
def test_figures_equal_scikit_learn(pairs):
    scores = np.array([score for score, _ in pairs])
    labels = np.array([label for _, label in pairs])
    figures = detection(scores, labels, 0.5)
    marked = scores >= 0.5
    assert figures.precision == pytest.approx(
        precision_score(labels, marked, zero_division=0)
    )
    assert figures.recall == pytest.approx(
        recall_score(labels, marked, zero_division=0)
    )
    for beta, found in ((1.0, figures.f1), (0.5, figures.f05)):
        assert found == pytest.approx(
            fbeta_score(labels, marked, beta=beta, zero_division=0)
        )
    assert figures.base_rate == pytest.approx(labels.mean())
    if len(set(labels.tolist())) == 2:
        assert figures.auc == pytest.approx(roc_auc_score(labels, scores))
    else:
        assert np.isnan(area_under_curve(scores, labels))


def test_reliability_is_the_distance_of_probabilities_from_what_happens():
    random = np.random.default_rng(0)
    probabilities = random.random(200_000)
    honest = reliability(probabilities, random.random(200_000) < probabilities)
    assert honest.expected_error < 0.01
    assert honest.counts.sum() == 200_000
    boastful = reliability(probabilities, random.random(200_000) < probabilities / 2)
    assert boastful.expected_error == pytest.approx(0.25, abs=0.01)
    certain = reliability(np.array([1.0, 0.0]), np.array([True, False]))
    assert certain.expected_error == 0.0 and len(certain.counts) == 15


def test_intervals_of_proportions_are_those_of_wilson():
    # Newcombe (1998), table I: 81 of 263, and 0 of 20.
    assert proportion_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert proportion_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert proportion_interval(0, 0) == (0.0, 1.0)
