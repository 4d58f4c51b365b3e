"""Windows over the pieces of long Docs, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import Errors
from .alignment import Integers, Pieces

# [CLS] and [SEP].
SPECIALS = 2


@dataclass(frozen=True)
class Windows:
    """Windows over the pieces of several Docs, end to end, shortest first.

    Args:
        input_ids: [CLS] pieces [SEP] of each window, int64 [T].
        position_ids: Position of each piece in its window, int64 [T].
        lengths: Pieces of each window, with [CLS] and [SEP], ascending, int64 [W].
        docs: Index of the Doc of each window, int64 [W].
        starts: First piece of each window in its Doc, in the order of ``cls_rows``,
            int64 [W].
        cls_rows: Row of the [CLS] of each window in the order of the Docs and, within
            one, of the text, int64 [W].
        sep_rows: Row of the [SEP] of each window, in the order of ``cls_rows``.
        windows_per_doc: int64 [D]; an empty Doc has one window.
        piece_rows: For every piece of every Doc, in order, its row in the window that
            gives it the most context, int64 [N].
    """

    input_ids: Integers
    position_ids: Integers
    lengths: Integers
    docs: Integers
    starts: Integers
    cls_rows: Integers
    sep_rows: Integers
    windows_per_doc: Integers
    piece_rows: Integers


def make_windows(
    pieces: Sequence[Pieces], *, window: int, stride: int, cls_id: int, sep_id: int
) -> Windows:
    """Cut Docs into overlapping windows.

    Windows start every ``stride`` pieces, whatever the tokens are, so a token longer
    than a window is no special case. Of a piece that stands in several windows, the
    one counts whose middle is nearest: there the smaller of its two sides has the most
    context.

    Args:
        pieces: Of each Doc.
        window: Most pieces a window, [CLS] and [SEP] among them.
        stride: Pieces from the start of a window to that of the next.
        cls_id: Id of [CLS].
        sep_id: Id of [SEP].

    Raises:
        ValueError: If a window has no room, or the stride would leave out pieces.
    """
    room = window - SPECIALS
    if room < 1:
        requirement = f"at least {SPECIALS + 1}"
        raise ValueError(
            Errors.SE003(name="window", requirement=requirement, value=window)
        )
    if not 1 <= stride <= room:
        requirement = f"from 1 to window - {SPECIALS} = {room}"
        raise ValueError(
            Errors.SE003(name="stride", requirement=requirement, value=stride)
        )
    counts = np.array([len(part) for part in pieces], dtype=np.int64)
    begins = counts.cumsum() - counts
    per_doc = 1 + np.maximum(-(-(counts - room) // stride), 0)
    first_window = per_doc.cumsum() - per_doc
    doc = np.repeat(np.arange(len(pieces)), per_doc)
    number = np.arange(len(doc)) - first_window[doc]
    starts = number * stride
    sizes = np.minimum(counts[doc] - starts, room)

    order = np.argsort(sizes, kind="stable")
    lengths = sizes[order] + SPECIALS
    heads = np.empty_like(order)
    heads[order] = lengths.cumsum() - lengths

    total = int(lengths.sum())
    row_heads = np.repeat(heads[order], lengths)
    positions = np.arange(total) - row_heads
    input_ids = np.empty(total, dtype=np.int64)
    input_ids[heads] = cls_id
    input_ids[heads + sizes + 1] = sep_id
    if counts.sum():
        ids = np.concatenate([part.ids for part in pieces])
        inside = (positions > 0) & (positions <= np.repeat(sizes[order], lengths))
        source = np.repeat((begins[doc] + starts)[order], lengths) + positions - 1
        input_ids[inside] = ids[source[inside]]

    piece_doc = np.repeat(np.arange(len(pieces)), counts)
    piece = np.arange(len(piece_doc)) - begins[piece_doc]
    # The window whose middle, start + (room - 1) / 2, is nearest, in whole numbers.
    nearest = (2 * piece - (room - 1) + stride) // (2 * stride)
    nearest = np.clip(nearest, 0, per_doc[piece_doc] - 1)
    return Windows(
        input_ids=input_ids,
        position_ids=positions,
        lengths=lengths,
        docs=doc[order],
        starts=starts,
        cls_rows=heads,
        sep_rows=heads + sizes + 1,
        windows_per_doc=per_doc,
        piece_rows=heads[first_window[piece_doc] + nearest]
        + 1
        + piece
        - nearest * stride,
    )
