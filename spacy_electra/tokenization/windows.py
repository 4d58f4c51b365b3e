"""Windows over the pieces of long texts, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import NamedTuple

import numpy as np

from ..errors import Errors
from .alignment import Integers, Pieces, joined

# [CLS] and [SEP].
SPECIALS = 2


@dataclass(frozen=True)
class FixedText:
    """A second text, which goes with every window of the first.

    Args:
        text: As it was written, for messages.
        ids: Its pieces, int64 [n].
        is_first: Whether it stands before the window, as a question before its
            context; otherwise it follows.
    """

    text: str
    ids: Integers
    is_first: bool


class Windows(NamedTuple):
    """Windows over the pieces of several texts, end to end, shortest first.

    Args:
        input_ids: [CLS] pieces [SEP] of each window, with the pieces of its fixed text
            and another [SEP] where it has one, int64 [T].
        token_type_ids: 0 for the first text of a window, 1 for the second, int64 [T].
        position_ids: Position of each piece in its window, int64 [T].
        lengths: Pieces of each window, all that stands in it, ascending, int64 [W].
        starts: First piece of each window in its text, in the order of ``cls_rows``,
            int64 [W].
        ends: The piece after the last of each window, likewise.
        cls_rows: Row of the [CLS] of each window in the order of the texts and, within
            one, of its pieces, int64 [W].
        sep_rows: Row of the [SEP] after the text's own pieces, in the order of
            ``cls_rows``.
        windows_per_text: int64 [D]; an empty text has one window.
        piece_rows: For every piece of every text, in order, its row in the window that
            gives it the most context, int64 [N].
        pieces_read: How many pieces have their row in each window, in the order of
            ``cls_rows``, int64 [W]; they are neighbours, and the windows follow each
            other.
    """

    input_ids: Integers
    token_type_ids: Integers
    position_ids: Integers
    lengths: Integers
    starts: Integers
    ends: Integers
    cls_rows: Integers
    sep_rows: Integers
    windows_per_text: Integers
    piece_rows: Integers
    pieces_read: Integers


def with_specials(ids: Integers, cls_id: int, sep_id: int) -> Integers:
    """[CLS] ids [SEP], int64 [n + 2]."""
    framed = np.empty(len(ids) + SPECIALS, dtype=np.int64)
    framed[0], framed[1:-1], framed[-1] = cls_id, ids, sep_id
    return framed


def make_windows(
    pieces: Sequence[Pieces],
    fixed: Sequence[FixedText | None] | None = None,
    *,
    window: int,
    stride: int,
    cls_id: int,
    sep_id: int,
) -> Windows:
    """Cut texts into overlapping windows.

    Windows start every ``stride`` pieces, whatever the tokens are, so a token longer
    than a window is no special case. Of a piece that stands in several windows, the
    one counts whose middle is nearest: there the smaller of its two sides has the most
    context.

    A fixed text takes its room in every window, [CLS] fixed [SEP] pieces [SEP] or
    [CLS] pieces [SEP] fixed [SEP]; the stride shrinks in proportion to what is left.

    Args:
        pieces: Of each text.
        fixed: What goes with every window of each text, None for nothing.
        window: Most pieces per window, [CLS] and [SEP] among them.
        stride: Pieces from the start of a window to that of the next, where there is
            no fixed text.
        cls_id: Id of [CLS].
        sep_id: Id of [SEP].

    Raises:
        ValueError: If a window has no room, the stride would leave out pieces, or a
            fixed text leaves less than a quarter of the window.
    """
    _check_shape(window, stride)
    texts = joined(pieces)
    counts = texts.counts
    if fixed is None and len(counts) == 1 and len(texts.ids) <= window - SPECIALS:
        return _only_window(with_specials(texts.ids, cls_id, sep_id))
    begins = counts.cumsum() - counts
    frames = _frames(fixed or [None] * len(pieces), window, cls_id, sep_id)
    # What a text's own pieces can fill of a window.
    rooms = window - frames.before_sizes - frames.after_sizes
    strides = np.maximum(stride * rooms // (window - SPECIALS), 1)
    per_text = 1 + np.maximum(-(-(counts - rooms) // strides), 0)

    # Of each window, in the order of the texts.
    text = np.repeat(np.arange(len(pieces)), per_text)
    first_window = per_text.cumsum() - per_text
    starts = (np.arange(len(text)) - first_window[text]) * strides[text]
    sizes = np.minimum(counts[text] - starts, rooms[text])
    before, after = frames.before_sizes[text], frames.after_sizes[text]
    lengths = before + sizes + after

    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    heads = np.empty_like(order)
    heads[order] = ordered.cumsum() - ordered
    rows = np.arange(ordered.sum())
    positions = rows - np.repeat(heads[order], ordered)
    if fixed is None:
        types = np.zeros(len(rows), dtype=np.int64)
    else:
        # Where there is no second text, its place lies after the window's end.
        second = np.where(before > 1, before, before + sizes + 1)
        types = (positions >= np.repeat(second[order], ordered)).astype(np.int64)

    # A window is three runs of one table of ids: what stands before the text's own
    # pieces, these, and what follows them.
    table = np.concatenate([frames.ids, texts.ids])
    own_starts = len(frames.ids) + begins[text] + starts
    run_starts = _in_turn(
        frames.before_starts[text], own_starts, frames.after_starts[text], order
    )
    runs = _in_turn(before, sizes, after, order)
    run_ends = runs.cumsum()
    sources = rows + np.repeat(run_starts - (run_ends - runs), runs)

    # Each window is read for the pieces from the first whose nearest middle is its
    # own, start + (room - 1) / 2, up to the first of the next window.
    nearest = starts + (-((strides + 1 - rooms) // 2))[text]
    nearest[first_window] = 0
    read = np.diff(begins[text] + nearest, append=counts.sum())
    shifts = heads + before - begins[text] - starts
    return Windows(
        input_ids=table[sources],
        token_type_ids=types,
        position_ids=positions,
        lengths=ordered,
        starts=starts,
        ends=starts + sizes,
        cls_rows=heads,
        sep_rows=heads + before + sizes,
        windows_per_text=per_text,
        piece_rows=np.arange(counts.sum()) + np.repeat(shifts, read),
        pieces_read=read,
    )


def _only_window(ids: Integers) -> Windows:
    """What a text has that is one window, [CLS] and [SEP] included.

    So it is with most texts that come alone, which have the least time to lose.
    """
    rows = np.arange(len(ids))
    size = np.array([len(ids) - SPECIALS])
    return Windows(
        input_ids=ids,
        token_type_ids=np.zeros(len(ids), dtype=np.int64),
        position_ids=rows,
        lengths=np.array([len(ids)]),
        starts=rows[:1],
        ends=size,
        cls_rows=rows[:1],
        sep_rows=rows[-1:],
        windows_per_text=rows[1:2],
        piece_rows=rows[1:-1],
        pieces_read=size,
    )


def _in_turn(
    before: Integers, own: Integers, after: Integers, order: Integers
) -> Integers:
    """Values of the three runs of each window, window by window."""
    return np.stack([before, own, after], axis=1)[order].ravel()


def _check_shape(window: int, stride: int) -> None:
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


@dataclass(frozen=True)
class _Frames:
    """What stands before and after the own pieces in each window of each text.

    Args:
        ids: [CLS], [SEP], and the fixed texts with theirs.
        before_starts: Where in ``ids`` it begins that stands before, int64 [D].
        before_sizes: Its pieces, [CLS] among them, int64 [D].
        after_starts: Where in ``ids`` it begins that stands after, int64 [D].
        after_sizes: Its pieces, [SEP] among them, int64 [D].
    """

    ids: Integers
    before_starts: Integers
    before_sizes: Integers
    after_starts: Integers
    after_sizes: Integers


def _frames(
    fixed: Sequence[FixedText | None], window: int, cls_id: int, sep_id: int
) -> _Frames:
    # Without a fixed text they are the [CLS] and the [SEP] at the beginning.
    parts = [np.array([cls_id, sep_id], dtype=np.int64)]
    before_starts = np.zeros(len(fixed), dtype=np.int64)
    after_starts = np.ones(len(fixed), dtype=np.int64)
    before_sizes, after_sizes = after_starts.copy(), after_starts.copy()
    place = len(parts[0])
    for number, part in enumerate(fixed):
        if part is None:
            continue
        _check_room(part, window)
        if part.is_first:
            framed = with_specials(part.ids, cls_id, sep_id)
            before_starts[number], before_sizes[number] = place, len(framed)
        else:
            framed = with_specials(part.ids, sep_id, sep_id)
            after_starts[number], after_sizes[number] = place, len(framed)
        parts.append(framed)
        place += len(framed)
    ids = np.concatenate(parts)
    return _Frames(ids, before_starts, before_sizes, after_starts, after_sizes)


def _check_room(fixed: FixedText, window: int) -> None:
    """Refuse a fixed text that leaves next to nothing of a window."""
    length = len(fixed.ids)
    room = window - SPECIALS - 1 - length
    if room < max(window // 4, 1):
        # Three quarters of the window, rounded up, hold it and its specials.
        needed = 4 * (length + SPECIALS) // 3 + 1
        raise ValueError(
            Errors.SE120(
                text=shorten(fixed.text, 60, placeholder=" ..."),
                length=length,
                window=window,
                needed=max(needed, length + SPECIALS + 2),
            )
        )
