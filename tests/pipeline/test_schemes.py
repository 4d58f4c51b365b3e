"""Spans as labels of tokens, and the likeliest legal sequence of labels."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_electra.pipeline.schemes import Scheme

NAMES = ("BIO", "BILUO", "BIOES")


@st.composite
def spans_of_text(draw):
    length = draw(st.integers(0, 12))
    cuts = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
    kinds = st.sampled_from(["PER", "LOC", None])
    spans = [(a, b, draw(kinds)) for a, b in pairwise(cuts)]
    return [span for span in spans if span[2]], length


@given(spans_of_text(), st.sampled_from(NAMES))
def test_spans_come_back_from_their_labels(text, name):
    spans, length = text
    scheme = Scheme.for_types(name, ["PER", "LOC"])
    path = [scheme.labels.index(tag) for tag in scheme.tags_of(spans, length)]
    assert scheme.spans_of(path) == spans
    # What is legal is left as it is.
    certain = np.log(np.eye(len(scheme.labels))[np.array(path, int)] + 1e-6)
    assert scheme.best_path(certain).tolist() == path


@given(st.integers(0, 10_000), st.sampled_from(NAMES), st.integers(1, 4))
def test_best_path_is_the_best_of_all_legal_ones(seed, name, length):
    scheme = Scheme.for_types(name, ["A", "B"])
    scores = np.random.default_rng(seed).normal(size=(length, len(scheme.labels)))
    legal = [
        path
        for path in product(range(len(scheme.labels)), repeat=length)
        if [scheme.labels[i] for i in path]
        == scheme.tags_of(scheme.spans_of(path), length)
    ]
    best = max(legal, key=lambda path: scores[range(length), path].sum())
    assert tuple(scheme.best_path(scores)) == best


def test_bare_labels_join_neighbours_of_one_type():
    scheme = Scheme.of(["O", "PER", "LOC"])
    assert scheme.name == "IO"
    assert scheme.spans_of([1, 1, 2, 0, 1]) == [
        (0, 2, "PER"),
        (2, 3, "LOC"),
        (4, 5, "PER"),
    ]


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (["B-A", "I-A", "O"], "BIO"),
        (["O", "B-A", "I-A", "L-A", "U-A"], "BILUO"),
        (["O", "B-A", "I-A", "E-A", "S-A"], "BIOES"),
        (["c", "i"], "IO"),
    ],
)
def test_scheme_is_read_off_the_labels(labels, name):
    assert Scheme.of(labels).name == name


@pytest.mark.parametrize("labels", [["O", "B-A", "PER"], ["O", "X-A", "B-A"]])
def test_mixed_labels_are_an_error(labels):
    with pytest.raises(ValueError, match="SE395"):
        Scheme.of(labels)


def test_unknown_scheme_is_an_error():
    with pytest.raises(ValueError, match="BILUO"):
        Scheme.for_types("BIOX", ["A"])
