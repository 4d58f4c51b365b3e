"""The factory of `electra_rtd`, and its settings by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from spacy.language import Language

from ..layers.head_model import Head
from ..source import DEFAULT_SOURCE
from .places import joined
from .rtd import ElectraRTD
from .scorers.rtd import Scores
from .training.rtd import RTDObjective
from .training.rtd_pretraining import PretrainRTD

# The architecture keeps its own default, so no config that is filled already changes.
# Other settings of the encoder are those of its architecture.
DEFAULT_MODEL = {
    "@architectures": "spacy-electra.RTD.v1",
    "encoder": {
        "@architectures": "spacy-electra.Encoder.v1",
        "source": DEFAULT_SOURCE,
    },
}


@Language.factory(
    "electra_rtd",
    assigns=[
        "token._.rtd_score",
        "token._.is_replaced",
        "doc.spans",
        "span._.suggestions",
    ],
    default_config={
        "model": DEFAULT_MODEL,
        "threshold": 0.5,
        "false_marks_per_1000": None,
        "calibration": None,
        "domain": None,
        "calibrated": False,
        "suggestions": 0,
        "generator": None,
        "suggestion_attribute": "suggestions",
        "spans_key": "rtd",
        "label": "REPLACED",
        "score_attribute": "rtd_score",
        "flag_attribute": "is_replaced",
        "objective": "auto",
        "positive_weight": 1.0,
        "pretraining": asdict(PretrainRTD()),
        "scorer": {"@scorers": "spacy-electra.RTDScorer.v1"},
    },
    default_score_weights={
        "rtd_auc": 1.0,
        "rtd_p": 0.0,
        "rtd_r": 0.0,
        "rtd_f": 0.0,
        "rtd_f05": 0.0,
        "rtd_base_rate": None,
        "rtd_mlm_loss": None,
        "rtd_mlm_accuracy": None,
    },
)
def make_electra_rtd(
    nlp: Language,
    name: str,
    model: Head,
    threshold: float,
    false_marks_per_1000: float | None,
    calibration: str | None,
    domain: str | None,
    calibrated: bool,
    suggestions: int,
    generator: str | None,
    suggestion_attribute: str,
    spans_key: str,
    label: str,
    score_attribute: str,
    flag_attribute: str,
    objective: str | RTDObjective,
    positive_weight: float,
    pretraining: dict[str, Any],
    scorer: Callable[..., Scores] | None,
) -> ElectraRTD:
    """Create the component; arguments as in ``ElectraRTD``."""
    component = ElectraRTD(
        nlp.vocab,
        model,
        name,
        threshold=threshold,
        false_marks_per_1000=false_marks_per_1000,
        calibration=calibration,
        domain=domain,
        calibrated=calibrated,
        suggestions=suggestions,
        generator=generator,
        suggestion_attribute=suggestion_attribute,
        spans_key=spans_key,
        label=label,
        score_attribute=score_attribute,
        flag_attribute=flag_attribute,
        objective=objective,
        positive_weight=positive_weight,
        pretraining=pretraining,
        scorer=scorer,
    )
    return joined(nlp, component)
