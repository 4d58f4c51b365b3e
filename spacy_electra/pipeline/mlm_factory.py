"""The factory of `electra_mlm`, and its settings by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from spacy.language import Language

from ..layers.head_model import Head
from ..source import DEFAULT_GENERATOR
from .mlm import ElectraMLM
from .places import joined
from .training.language_models import MaskingSettings

DEFAULT_MODEL = {
    "@architectures": "spacy-electra.MaskedLM.v1",
    "encoder": {
        "@architectures": "spacy-electra.Encoder.v1",
        "source": DEFAULT_GENERATOR,
    },
}


@Language.factory(
    "electra_mlm",
    assigns=["doc._.masks", "doc._.pseudo_log_likelihood"],
    default_config={
        "model": DEFAULT_MODEL,
        "k": 5,
        "max_pieces": 1,
        "beam": 8,
        "hidden": None,
        "masks_attribute": "masks",
        "likelihood_attribute": "pseudo_log_likelihood",
        "masking": asdict(MaskingSettings()),
        "scorer": {"@scorers": "spacy-electra.MaskedLMScorer.v1", "hidden": None},
    },
    default_score_weights={
        "mlm_accuracy": 1.0,
        "mlm_loss": None,
        "mlm_perplexity": None,
        "mlm_pseudo_perplexity": None,
    },
)
def make_electra_mlm(
    nlp: Language,
    name: str,
    model: Head,
    k: int,
    max_pieces: int,
    beam: int,
    hidden: str | None,
    masks_attribute: str,
    likelihood_attribute: str,
    masking: dict[str, Any],
    scorer: Callable[..., dict[str, Any]] | None,
) -> ElectraMLM:
    """Create the component; arguments as in ``ElectraMLM``."""
    component = ElectraMLM(
        nlp.vocab,
        model,
        name,
        k=k,
        max_pieces=max_pieces,
        beam=beam,
        hidden=hidden,
        masks_attribute=masks_attribute,
        likelihood_attribute=likelihood_attribute,
        masking=masking,
        scorer=scorer,
    )
    return joined(nlp, component)
