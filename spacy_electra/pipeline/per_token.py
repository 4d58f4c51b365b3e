"""What is set on the tokens of many Docs at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span, Token

from ..tokenization.bounds import bounds_of
from ..tokenization.ends import heads
from .attributes import NO_FLAG
from .component import store_spans


def store_per_token(
    docs: Sequence[Doc],
    values: Mapping[str, NDArray[Any]],
    flags: Mapping[str, NDArray[np.bool_]] = {},
) -> None:
    """Set attributes of each token, as ``token._.name = value`` does, but at once.

    Args:
        docs: Any number.
        values: By name of the extension attribute of ``Token``, one per token of all
            Docs.
        flags: Likewise, true of few. Where it is false only the first token of a Doc
            gets it, by which one sees that the others were judged too; they have the
            default.
    """
    bounds = bounds_of(docs)
    dense, sparse = dict(values), []
    items: list[tuple[Iterator[Any], list[int]]] = []
    for name, own in flags.items():
        if (Token.get_extension(name) or (NO_FLAG,))[0] is not NO_FLAG:
            # Somebody has registered it with a default that tells something else.
            dense[name] = own
            continue
        sparse.append(name)
        is_kept = own.copy()
        is_kept[heads(bounds.counts)[bounds.counts > 0]] = True
        places = is_kept.nonzero()[0]
        ends = places.searchsorted(bounds.counts.cumsum())
        counts = np.diff(ends, prepend=0).tolist()
        items.append((_entries(name, bounds.starts[places], own[places]), counts))
    for name, own in dense.items():
        entries = _entries(name, bounds.starts, own)
        items.append((entries, bounds.counts.tolist()))
    for number, doc in enumerate(docs):
        data = doc.user_data
        if data:
            for name in sparse:
                _forget(data, name)
        for entries, counts in items:
            data.update(islice(entries, counts[number]))


def _entries(
    name: str, starts: NDArray[np.int64], values: NDArray[Any]
) -> Iterator[Any]:
    """Keys and values of tokens as spaCy keeps them in ``doc.user_data``."""
    keys = zip(repeat("._."), repeat(name), starts.tolist(), repeat(None))
    return zip(keys, values.tolist(), strict=True)


def _forget(data: dict[Any, Any], name: str) -> None:
    """Take away the values of all tokens, those that are there no more among them."""
    named = [key for key in data if isinstance(key, tuple) and key[1:2] == (name,)]
    for key in named:
        # Others are of spans or of the Doc.
        if key[2] is not None and key == ("._.", name, key[2], None):
            del data[key]


def store_marks(
    docs: Sequence[Doc],
    key: str,
    label: str,
    scores: NDArray[np.floating],
    is_marked: NDArray[np.bool_],
) -> None:
    """Set a span group of the marked tokens of each Doc, one span each.

    Args:
        docs: Any number.
        key: Of the group in ``doc.spans``.
        label: Of the spans.
        scores: One per token of all Docs.
        is_marked: The same.
    """
    places = is_marked.nonzero()[0]
    counts = np.array([len(doc) for doc in docs], dtype=np.int64)
    doc_ends = counts.cumsum()
    firsts = (doc_ends - counts)[doc_ends.searchsorted(places, side="right")]
    tokens, scores = (places - firsts).tolist(), scores[places].astype(np.float32)
    ends = places.searchsorted(doc_ends).tolist()
    for doc, (start, stop) in zip(docs, pairwise([0, *ends]), strict=True):
        own = tokens[start:stop]
        spans = [Span(doc, token, token + 1, label=label) for token in own]
        store_spans(doc, key, spans, scores[start:stop].copy())
