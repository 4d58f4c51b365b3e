"""What this package takes from spacy-transformers; no other module imports that."""

from __future__ import annotations

from ..errors import Errors

try:
    from spacy_transformers.annotation_setters import null_annotation_setter
    from spacy_transformers.architectures import transformer_listener_tok2vec_v1
    from spacy_transformers.data_classes import (
        FullTransformerBatch,
        ModelOutput,
        TransformerData,
        WordpieceBatch,
    )
    from spacy_transformers.layers import (
        TransformerListener,
        split_trf_batch,
        trfs2arrays,
    )
    from spacy_transformers.layers.listener import forward as forward_of_listener
    from spacy_transformers.pipeline_component import Transformer, install_extensions
except ImportError as error:
    raise ImportError(Errors.SE323()) from error

__all__ = [
    "FullTransformerBatch",
    "ModelOutput",
    "Transformer",
    "TransformerData",
    "TransformerListener",
    "WordpieceBatch",
    "forward_of_listener",
    "install_extensions",
    "null_annotation_setter",
    "split_trf_batch",
    "transformer_listener_tok2vec_v1",
    "trfs2arrays",
]
