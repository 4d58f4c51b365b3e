"""The factory of `electra`, which spaCy imports whenever it makes a pipeline.

It stands apart from the component, so that pipelines without it need no
spacy-transformers.
"""

from __future__ import annotations

from collections.abc import Callable

from spacy.language import Language
from spacy.pipeline import Pipe
from thinc.api import Model

from ..source import DEFAULT_SOURCE
from .component import TOKENS_PER_GROUP

# Everything else is a default of the architecture.
DEFAULT_MODEL = {
    "@architectures": "spacy-electra.TransformerModel.v1",
    "name": DEFAULT_SOURCE,
}


@Language.factory(
    "electra",
    assigns=["doc._.trf_data"],
    default_config={
        "model": DEFAULT_MODEL,
        "set_extra_annotations": {
            "@annotation_setters": "spacy-transformers.null_annotation_setter.v1"
        },
        "max_batch_items": TOKENS_PER_GROUP,
        "store": True,
        "set_tensor": False,
    },
)
def make_electra(
    nlp: Language,
    name: str,
    model: Model,
    set_extra_annotations: Callable,
    max_batch_items: int,
    store: bool,
    set_tensor: bool,
) -> Pipe:
    """Create the component; arguments as in ``Electra``."""
    from .electra import Electra

    return Electra(
        nlp.vocab,
        model,
        set_extra_annotations,
        name=name,
        max_batch_items=max_batch_items,
        store=store,
        set_tensor=set_tensor,
        nlp=nlp,
    )
