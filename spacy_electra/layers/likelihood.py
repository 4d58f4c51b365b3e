"""How likely texts are to a language model, piece by piece and token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Errors
from ..tokenization.alignment import Integers, Pieces
from .language_model import LanguageModel, Query, context

Floats = NDArray[np.float64]
# What is hidden where a piece is scored: it alone; it and the pieces of its word that
# follow; its whole word.
HIDDEN = ("piece", "rest_of_word", "word")


def check_hidden(hidden: str) -> None:
    """Refuse an unknown way to hide pieces.

    Raises:
        ValueError: If it is none of ``HIDDEN``.
    """
    if hidden not in HIDDEN:
        choices = ", ".join(HIDDEN)
        raise ValueError(Errors.SE002(name="hidden", value=hidden, choices=choices))


def pseudo_log_likelihoods(
    model: LanguageModel, texts: Sequence[Integers], hidden: str = "piece"
) -> list[Floats]:
    """The logarithm of the probability of each piece, given those on both sides.

    With "piece" one piece at a time is hidden (Salazar et al., 2020, "Masked language
    model scoring"): a score that comes out too high for words of several pieces, which
    give each other away. "rest_of_word" hides the pieces that follow in the word too,
    and "word" all of the word: PLL-word-l2r and PLL-whole-word of Kauf & Ivanova, 2023,
    "A better way to do masked language model scoring", who recommend the former.

    Each piece takes a sequence of its own, with as much context as a window has room
    for, the piece in its middle.

    Args:
        model: A masked language model.
        texts: Pieces of each text, int64 [n].
        hidden: One of ``HIDDEN``.

    Returns:
        Natural logarithms, float64 [n] each. That of a special piece is nan, for it is
        no word: [MASK], [CLS], [SEP] and [PAD] that stand in the text; [UNK] is scored.

    Raises:
        ValueError: If there is no such way to hide.
    """
    check_hidden(hidden)
    scored = [_scored(model, ids) for ids in texts]
    targets = _joined([ids[own] for ids, own in zip(texts, scored, strict=True)])
    queries = (
        query
        for ids, own in zip(texts, scored, strict=True)
        for query in _hiding_queries(model, ids, own, hidden)
    )
    found, _ = score_targets(model, queries, targets)
    results = []
    for ids, own in zip(texts, scored, strict=True):
        values = np.full(len(ids), np.nan)
        values[own], found = found[: len(own)], found[len(own) :]
        results.append(values)
    return results


def log_likelihoods(
    model: LanguageModel, texts: Sequence[Integers], stride: int
) -> list[Floats]:
    """The logarithm of the probability of each piece, given those before it.

    The first piece is given [CLS] alone. A text longer than a window is cut into
    windows that overlap: each begins with [CLS] and at least window - stride - 1 pieces
    that are not scored again, the left context of those that are.

    Args:
        model: A causal language model.
        texts: Pieces of each text, int64 [n].
        stride: Pieces that each window but the first scores.

    Returns:
        Natural logarithms, float64 [n] each.

    Raises:
        ValueError: If the stride is longer than a window has room for, or less than 1.
    """
    queries = causal_queries(model, texts, stride)
    found, _ = score_targets(model, queries, _joined(texts))
    ends = np.cumsum([len(ids) for ids in texts])
    return np.split(found, ends[:-1]) if len(texts) else []


def sums_per_token(values: Floats, pieces: Pieces) -> Floats:
    """Values of pieces added up per spaCy token, float64 [tokens].

    A piece that spans several tokens counts for the first of them, so that the sum over
    the tokens is that over the pieces. A token without pieces has 0.

    Args:
        values: One per piece, float64 [n]; nan counts as 0.
        pieces: With their alignment.
    """
    lengths = np.asarray(pieces.alignment.lengths, dtype=np.int64)
    rows = np.asarray(pieces.alignment.dataXd, dtype=np.int64)
    token = np.repeat(np.arange(len(lengths)), lengths)
    own, first = np.unique(rows, return_index=True)
    sums = np.zeros(len(lengths))
    np.add.at(sums, token[first], np.nan_to_num(values[own]))
    return sums


def score_targets(
    model: LanguageModel, queries: Iterable[Query], targets: Integers
) -> tuple[Floats, NDArray[np.bool_]]:
    """How likely one piece is at each place that queries ask for.

    Args:
        model: Any language model.
        queries: Ask for N places in all.
        targets: The piece of each place, int64 [N].

    Returns:
        Natural logarithms, float64 [N], and whether no piece is likelier, bool [N].
    """
    found, is_best = np.empty(len(targets)), np.empty(len(targets), dtype=bool)
    for numbers, scores in model.log_probabilities(queries):
        wanted = torch.from_numpy(targets[numbers]).to(scores.device)
        own = scores.gather(1, wanted[:, None]).squeeze(1)
        found[numbers] = own.cpu().numpy()
        is_best[numbers] = (own >= scores.amax(1)).cpu().numpy()
    return found, is_best


def _joined(parts: Sequence[Integers]) -> Integers:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def _scored(model: LanguageModel, ids: Integers) -> Integers:
    """The indices of the pieces that have a likelihood."""
    tokenizer = model.tokenizer
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    return np.flatnonzero(~np.isin(ids, list(special)))


def _hiding_queries(
    model: LanguageModel, ids: Integers, scored: Integers, hidden: str
) -> Iterator[Query]:
    starts, ends = _words(model, ids)
    for piece in scored.tolist():
        start = int(starts[piece]) if hidden == "word" else piece
        end = piece + 1 if hidden == "piece" else int(ends[piece])
        query = context(model, ids, piece, piece + 1, ids[piece : piece + 1])
        position = int(query.positions[0])
        # The window may end before the word does; [CLS] and [SEP] stay.
        first = max(1, position - (piece - start))
        last = min(len(query.ids) - 1, position + (end - piece))
        query.ids[first:last] = model.tokenizer.mask_token_id
        yield query


def _words(model: LanguageModel, ids: Integers) -> tuple[Integers, Integers]:
    """Where the tokenizer's word of each piece begins and ends, int64 [n] each."""
    begins = ~model.tokenizer.continuations[ids]
    begins[:1] = True
    heads = np.append(np.flatnonzero(begins), len(ids))
    word = begins.cumsum() - 1
    return heads[word], heads[word + 1]


def causal_queries(
    model: LanguageModel, texts: Iterable[Integers], stride: int
) -> Iterator[Query]:
    """Queries for all pieces of texts, each given those before it.

    Args:
        model: Says how long a window is.
        texts: Pieces of each text, int64 [n].
        stride: As in ``log_likelihoods``, which says more.

    Raises:
        ValueError: As there.
    """
    room = model.window - 1
    if not 1 <= stride <= room:
        requirement = f"from 1 to window - 1 = {room}"
        raise ValueError(
            Errors.SE003(name="stride", requirement=requirement, value=stride)
        )
    cls_id = model.tokenizer.cls_token_id

    def windows_of(ids: Integers) -> Iterator[Query]:
        scored = 0
        while scored < len(ids):
            # The first window scores all that it holds.
            end = min(len(ids), scored + stride if scored else room)
            start = max(0, end - room)
            sequence = np.concatenate([[cls_id], ids[start:end]]).astype(np.int64)
            # What the network gives at a piece is about the next one.
            yield Query(sequence, np.arange(scored - start, end - start))
            scored = end

    return (query for ids in texts for query in windows_of(ids))
