import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score, precision_score, recall_score, roc_auc_score

from spacy_electra.metrics import area_under_curve, detection

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
