"""Initial word embeddings from how pieces stand beside each other in the corpus."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..corpus.shards import Shards
from ..objective import Objective
from .local_start import WORD_DEVIATION

OFFSETS = (1, 2)
# Contexts count by this power of their frequency, so that rare ones do not dominate
# (Levy, Goldberg and Dagan, 2015, section 3.1).
CONTEXT_SMOOTHING = 0.75
_IDS_PER_CHUNK = 8_000_000


def start_words(objective: Objective, shards: Shards) -> None:
    """Give embeddings and output biases what counting the corpus can tell."""
    table = objective.generator.electra.embeddings.word_embeddings.weight
    vocab_size, width = table.shape
    vectors = word_vectors(shards.ids, vocab_size, width)
    counts = torch.from_numpy(shards.counts).float() + 1.0
    known = vectors.any(dim=1).to(table.device)
    heads = [objective.generator.head, objective.language_head]
    with torch.no_grad():
        for head in heads:
            if head is not None:
                head.decoder.bias.copy_((counts / counts.sum()).log())
                # Most heads use the table itself; one with its own starts alike.
                if head.decoder.weight is not table:
                    head.decoder.weight[known] = vectors.to(table.device)[known]
        table[known] = vectors.to(table.device)[known]


def word_vectors(
    ids: NDArray[np.integer],
    vocab_size: int,
    width: int,
    *,
    offsets: tuple[int, ...] = OFFSETS,
    seed: int = 0,
) -> Tensor:
    """Vectors of pieces whose neighbours are alike are alike.

    The positive pointwise mutual information of a piece with what stands at each
    offset to its left and right, [V, 2 V times the number of offsets], factorized by
    a truncated singular value decomposition (Levy and Goldberg, 2014, "Neural word
    embedding as implicit matrix factorization"). Takes seconds where a network would
    need tens of millions of pieces to learn as much.

    Args:
        ids: The corpus, end to end, int [N].
        vocab_size: Number of pieces V.
        width: Columns of the result, E.
        offsets: Distances to count at.
        seed: Of the decomposition, which is randomized.

    Returns:
        float32 [V, E], each row with the root mean square ``WORD_DEVIATION``; zero for
        a piece that the corpus does not have.
    """
    blocks = []
    for offset in offsets:
        counts = _count_pairs(ids, vocab_size, offset)
        blocks += [_information(counts), _information(counts.T)]
    matrix = torch.cat(blocks, dim=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, values, _ = torch.svd_lowrank(matrix, q=width + 8, niter=4)
    # All that mutual information is positive: a direction common to all pieces would
    # tell nothing apart.
    vectors = left[:, :width] * values[:width].sqrt()
    # There are no more directions than pieces.
    vectors = F.pad(vectors, (0, width - vectors.shape[1]))
    present = matrix.any(dim=1)
    vectors = vectors - vectors[present].mean(0)
    scale = vectors.square().mean(1, keepdim=True).sqrt().clamp(min=1e-12)
    vectors = vectors / scale * WORD_DEVIATION
    return vectors * present[:, None]


def _count_pairs(ids: NDArray[np.integer], vocab_size: int, offset: int) -> Tensor:
    """How often piece j comes ``offset`` pieces after piece i, float32 [V, V]."""
    counts = np.zeros(vocab_size * vocab_size, dtype=np.float32)
    for start in range(0, len(ids) - offset, _IDS_PER_CHUNK):
        chunk = ids[start : start + _IDS_PER_CHUNK + offset].astype(np.int64)
        pairs = chunk[:-offset] * vocab_size + chunk[offset:]
        found, times = np.unique(pairs, return_counts=True)
        counts[found] += times
    return torch.from_numpy(counts.reshape(vocab_size, vocab_size))


def _information(counts: Tensor) -> Tensor:
    """Positive pointwise mutual information of rows with columns."""
    rows = counts.sum(1, keepdim=True)
    columns = counts.sum(0, keepdim=True) ** CONTEXT_SMOOTHING
    expected = rows * (columns / columns.sum())
    return (counts / expected.clamp(min=1e-12)).clamp(min=1.0).log()
