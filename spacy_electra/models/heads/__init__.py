"""The heads: one file each, on top of the same encoder, and the one table of them."""

from .base import HeadModel
from .masked_lm import ElectraForMaskedLM
from .replaced_token import ElectraForPreTraining

# By the name of the class, which is also Transformers' and stands in config.json.
HEADS: dict[str, type[HeadModel]] = {
    cls.__name__: cls for cls in (ElectraForPreTraining, ElectraForMaskedLM)
}

__all__ = ["HEADS", "HeadModel"]
