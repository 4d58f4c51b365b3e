"""What is set on the tokens of many Docs at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice, pairwise, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span, Token

from ..tokenization.bounds import Bounds, bounds_of
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
    dense = dict(values)
    for name, flag in flags.items():
        if (Token.get_extension(name) or (NO_FLAG,))[0] is NO_FLAG:
            _store_flags(docs, bounds, name, flag)
        else:
            # Somebody has registered it with a default that tells something else.
            dense[name] = flag
    starts = bounds.starts.tolist()
    # Keys as `_token_key` makes them, faster.
    items: list[Any] = [
        zip(
            zip(repeat("._."), repeat(name), starts, repeat(None)),
            own.tolist(),
            strict=True,
        )
        for name, own in dense.items()
    ]
    for doc, count in zip(docs, bounds.counts.tolist(), strict=True):
        for item in items:
            doc.user_data.update(islice(item, count))


def _store_flags(
    docs: Sequence[Doc], bounds: Bounds, name: str, flags: NDArray[np.bool_]
) -> None:
    counts = bounds.counts
    is_kept = flags.copy()
    is_kept[heads(counts)[counts > 0]] = True
    places = is_kept.nonzero()[0]
    ends = places.searchsorted(counts.cumsum()).tolist()
    starts, values = bounds.starts[places].tolist(), flags[places].tolist()
    for doc, (first, end) in zip(docs, pairwise([0, *ends]), strict=True):
        data = doc.user_data
        # Of tokens that are there no more, too. Keys of spans and of the Doc stay.
        named = [key for key in data if isinstance(key, tuple) and key[1:2] == (name,)]
        for key in named:
            if key[2] is not None and key == _token_key(name, key[2]):
                del data[key]
        for start, value in zip(starts[first:end], values[first:end], strict=True):
            data[_token_key(name, start)] = value


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


def _token_key(name: str, start: Any) -> Any:
    return ("._.", name, start, None)
