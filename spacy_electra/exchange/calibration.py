"""Texts as inputs of a graph, to learn the ranges of its hidden states from."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..models import ElectraForMultipleChoice
from ..models.pretrained import PretrainedModel
from ..tokenization.wordpiece import ElectraTokenizer

Batch = dict[str, NDArray[np.int64]]
# As many as NNCF takes where nobody says otherwise.
MOST_TEXTS = 300
LONGEST = 128


def calibration_batches(
    texts: Iterable[str], tokenizer: ElectraTokenizer, network: PretrainedModel
) -> list[Batch]:
    """The first texts, a batch each.

    Args:
        texts: Like those that the network will meet.
        tokenizer: The network's.
        network: Has room for their pieces; the rest of a text is left out.

    Returns:
        int64 [1, S] by the name of the input, or [1, 1, S] for multiple choice.
    """
    longest = min(LONGEST, network.config.max_position_embeddings)
    axes = 2 if isinstance(network, ElectraForMultipleChoice) else 1
    batches = []
    for text in islice(texts, MOST_TEXTS):
        row = tokenizer(text, truncation=True, max_length=longest)
        batches.append(
            {
                name: np.array(values, dtype=np.int64).reshape(*(1,) * axes, -1)
                for name, values in row.items()
            }
        )
    return batches
