"""Embeddings for another vocabulary, out of those that a model has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...tokenization.wordpiece import ElectraTokenizer

_LONGEST_PIECE = 100


def exchange_sources(
    old: ElectraTokenizer, new: ElectraTokenizer
) -> list[Sequence[int]]:
    """The old pieces that each new piece takes its embedding from.

    A piece that both have keeps its own; special pieces are matched by their part, not
    their spelling; any other takes the mean of the old pieces that spell it, longest
    first (Gee et al., 2022, "Fast vocabulary transfer for language model compression").

    Returns:
        Old ids for each new id; none where the old pieces can't spell it.
    """
    roles = ("unk", "sep", "pad", "cls", "mask")
    special = {
        getattr(new, f"{role}_token_id"): getattr(old, f"{role}_token_id")
        for role in roles
    }
    sources: list[Sequence[int]] = [() for _ in range(new.vocab_size)]
    for piece, number in new.vocab.items():
        if number in special:
            sources[number] = (special[number],)
        else:
            continues = piece.startswith(new.wordpieces_prefix)
            text = piece.removeprefix(new.wordpieces_prefix) if continues else piece
            sources[number] = _spell(text, continues, old.vocab, old.wordpieces_prefix)
    return sources


def exchange_rows(table: Tensor, sources: list[Sequence[int]]) -> Tensor:
    """Rows for the new vocabulary.

    Args:
        table: Embeddings [V, E] or biases [V].
        sources: What ``exchange_sources`` gave.

    Returns:
        [new V, E] or [new V]; the mean of all rows for a piece without source.
    """
    rows = table.new_empty((len(sources), *table.shape[1:]))
    rows[:] = table.mean(0)
    for number, chosen in enumerate(sources):
        if chosen:
            rows[number] = table[torch.tensor(chosen)].mean(0)
    return rows


def _spell(
    text: str, continues: bool, vocab: Mapping[str, int], prefix: str
) -> tuple[int, ...]:
    found: list[int] = []
    start = 0
    while start < len(text):
        lead = prefix if continues or start else ""
        for end in range(min(len(text), start + _LONGEST_PIECE), start, -1):
            number = vocab.get(lead + text[start:end])
            if number is not None:
                found.append(number)
                start = end
                break
        else:
            return ()
    return tuple(found)
