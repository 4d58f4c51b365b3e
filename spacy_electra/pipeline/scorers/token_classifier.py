"""Gold labels of tokens, and how well predicted ones meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from spacy.scorer import PRFScore, Scorer, get_ner_prf
from spacy.tokens import Span
from spacy.training import Example
from spacy.training.iob_utils import biluo_tags_to_spans
from spacy.util import filter_spans, registry

from ..schemes import OUTSIDE, Scheme

Scores = dict[str, Any]


@dataclass(frozen=True)
class Gold:
    """Where gold annotation is found on a reference, and what it means.

    Args:
        annotates: "ents", "spans" or "tokens".
        spans_key: Of the span group, with "spans".
        label_attribute: Of the tokens, with "tokens".
        scheme: Of the labels; None with "tokens".
    """

    annotates: str
    spans_key: str
    label_attribute: str
    scheme: Scheme | None


def labels_in(example: Example, gold: Gold, scheme: str) -> Iterable[str]:
    """The labels that an example's gold annotation asks for.

    Args:
        example: Its reference is annotated.
        gold: Where.
        scheme: Name of the scheme that labels of spans are made by.
    """
    if gold.annotates == "tokens":
        return [label for label in _labels_of_tokens(example, gold) if label]
    if gold.annotates == "ents":
        spans: Iterable[Span] = example.reference.ents
    else:
        spans = example.reference.spans.get(gold.spans_key, ())
    types = dict.fromkeys(span.label_ for span in spans)
    return Scheme.for_types(scheme, types).labels if types else ()


def gold_tags(example: Example, gold: Gold) -> list[str | None]:
    """The gold label of each predicted token; None where nobody knows it."""
    if gold.annotates == "tokens":
        return [label or None for label in _labels_of_tokens(example, gold)]
    assert gold.scheme is not None
    length = len(example.predicted)
    known = [True] * length
    if gold.annotates == "spans":
        if gold.spans_key not in example.reference.spans:
            return [None] * length
        spans = example.get_aligned_spans_y2x(example.reference.spans[gold.spans_key])
    else:
        biluo = example.get_aligned_ner()
        known = [tag not in (None, "", "-") for tag in biluo]
        plain = [str(t) if at else OUTSIDE for t, at in zip(biluo, known, strict=True)]
        spans = biluo_tags_to_spans(example.predicted, plain)
    rows = [(span.start, span.end, span.label_) for span in filter_spans(spans)]
    tags = gold.scheme.tags_of(rows, length)
    return [tag if at else None for tag, at in zip(tags, known, strict=True)]


def _labels_of_tokens(example: Example, gold: Gold) -> list[str]:
    """The label of the reference's token that each predicted one begins with."""
    labels = [t._.get(gold.label_attribute) or "" for t in example.reference]
    aligned = example.alignment.x2y
    rows = np.split(np.asarray(aligned.data).ravel(), np.cumsum(aligned.lengths))
    return [labels[row[0]] if len(row) else "" for row in rows[:-1]]


@registry.scorers("spacy-electra.TokenClassifierScorer.v1")
def make_token_classifier_scorer() -> Callable[..., Scores]:
    """Scores of entities, of spans, or of the labels of tokens."""
    return score_labels


def score_labels(
    examples: Iterable[Example],
    *,
    gold: Gold,
    **kwargs: Any,
) -> Scores:
    """Score what ``electra_token_classifier`` annotates.

    Args:
        examples: Their predicted Docs have been annotated.
        gold: Where the gold annotation is, and the predicted one.
        kwargs: Not used; scorers of one pipeline share their arguments.

    Returns:
        As spaCy's ``ner`` or ``spancat``; of labels of tokens ``token_labels_acc``,
        ``token_labels_macro_f`` and ``token_labels_per_type``. The F of spans, or the
        accuracy of labels, is ``token_classifier_score``; None where there is no gold.
    """
    examples = list(examples)
    if gold.annotates == "ents":
        scores: Scores = get_ner_prf(examples)
        return {"token_classifier_score": scores["ents_f"], **scores}
    if gold.annotates == "spans":
        name = f"spans_{gold.spans_key}"
        scores = Scorer.score_spans(
            examples,
            name,
            getter=lambda doc, _: doc.spans.get(gold.spans_key, []),
            has_annotation=lambda doc: gold.spans_key in doc.spans,
            allow_overlap=True,
        )
        return {"token_classifier_score": scores.get(f"{name}_f"), **scores}
    return _score_tokens(examples, gold)


def _score_tokens(examples: Sequence[Example], gold: Gold) -> Scores:
    """Accuracy of the labels of tokens, and F of each label."""
    pairs = [
        (token._.get(gold.label_attribute), label)
        for example in examples
        for token, label in zip(
            example.predicted, _labels_of_tokens(example, gold), strict=True
        )
        if label
    ]
    names = ("token_classifier_score", "token_labels_acc", "token_labels_macro_f")
    if not pairs:
        return {**dict.fromkeys(names), "token_labels_per_type": None}
    per_type = {}
    for label in sorted({label for _, label in pairs}):
        score = PRFScore()
        score.tp = sum(found == right == label for found, right in pairs)
        score.fp = sum(found == label != right for found, right in pairs)
        score.fn = sum(found != label == right for found, right in pairs)
        per_type[label] = score.to_dict()
    accuracy = sum(found == right for found, right in pairs) / len(pairs)
    macro = sum(row["f"] for row in per_type.values()) / len(per_type)
    values = dict(zip(names, (accuracy, accuracy, macro), strict=True))
    return {**values, "token_labels_per_type": per_type}
