"""The factory of `electra_token_classifier`, and its settings by default."""

from __future__ import annotations

from collections.abc import Callable

from spacy.language import Language

from ..layers.head_model import Head
from ..source import DEFAULT_SOURCE
from .places import joined
from .scorers.token_classifier import Scores
from .token_classifier import ElectraTokenClassifier


@Language.factory(
    "electra_token_classifier",
    assigns=["doc.ents", "doc.spans", "token._.electra_label", "token._.electra_score"],
    default_config={
        "model": {
            "@architectures": "spacy-electra.TokenClassification.v1",
            "encoder": {
                "@architectures": "spacy-electra.Encoder.v1",
                "source": DEFAULT_SOURCE,
            },
        },
        "annotates": "ents",
        "scheme": "BIO",
        "spans_key": "electra",
        "label_attribute": "electra_label",
        "score_attribute": "electra_score",
        "overwrite": False,
        "scorer": {"@scorers": "spacy-electra.TokenClassifierScorer.v1"},
    },
    default_score_weights={
        "token_classifier_score": 1.0,
        "ents_f": 0.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_per_type": None,
        "token_labels_acc": None,
        "token_labels_macro_f": None,
        "token_labels_per_type": None,
    },
)
def make_electra_token_classifier(
    nlp: Language,
    name: str,
    model: Head,
    annotates: str,
    scheme: str,
    spans_key: str,
    label_attribute: str,
    score_attribute: str,
    overwrite: bool,
    scorer: Callable[..., Scores] | None,
) -> ElectraTokenClassifier:
    """Create the component; arguments as in ``ElectraTokenClassifier``."""
    component = ElectraTokenClassifier(
        nlp.vocab,
        model,
        name,
        annotates=annotates,
        scheme=scheme,
        spans_key=spans_key,
        label_attribute=label_attribute,
        score_attribute=score_attribute,
        overwrite=overwrite,
        scorer=scorer,
    )
    return joined(nlp, component)
