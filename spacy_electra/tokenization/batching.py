"""From pieces of single texts to the rows of a batch: cutting, joining, padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import Errors
from .batch_encoding import Encoding, Integers

_CUTS = {
    True: "longest_first",
    False: None,
    None: None,
    "do_not_truncate": None,
    "longest_first": "longest_first",
    "only_first": "only_first",
    "only_second": "only_second",
}
_PADDINGS = {
    True: "longest",
    False: None,
    None: None,
    "do_not_pad": None,
    "longest": "longest",
    "max_length": "max_length",
}


def cut_by(truncation: bool | str | None) -> str | None:
    """How rows that are too long are cut, None for not at all.

    Raises:
        ValueError: If there is no such way.
    """
    return _choice("truncation", getattr(truncation, "value", truncation), _CUTS)


def padded_to(padding: bool | str | None) -> str | None:
    """What rows are padded to, None for nothing.

    Raises:
        ValueError: If there is no such way.
    """
    return _choice("padding", getattr(padding, "value", padding), _PADDINGS)


def _choice(name: str, value: Any, choices: dict[Any, str | None]) -> str | None:
    if value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise ValueError(Errors.SE138(name=name, value=value, choices=allowed))
    return choices[value]


@dataclass(frozen=True)
class Cut:
    """What rows are cut to.

    Args:
        length: Most pieces of a row, special ones among them; None for any number.
        by: "longest_first", "only_first" or "only_second".
        side: The side that is cut off.
        stride: Pieces that a row and the next one of the same text share.
        keep_rest: Whether what is cut off makes rows of its own.
    """

    length: int | None
    by: str | None
    side: str = "right"
    stride: int = 0
    keep_rest: bool = False


@dataclass(frozen=True)
class Frame:
    """The special pieces around texts; none of them where both ids are None.

    Args:
        cls_id: Id of [CLS].
        sep_id: Id of [SEP].
    """

    cls_id: int | None
    sep_id: int | None

    def added(self, is_pair: bool) -> int:
        """How many pieces it adds."""
        return 0 if self.cls_id is None else 2 + is_pair


def rows_of(
    first: Encoding, second: Encoding | None, frame: Frame, cut: Cut
) -> Iterator[Encoding]:
    """The row of a text or a pair, and rows of what is cut off where it is kept.

    Raises:
        ValueError: If nothing would be left of what is cut.
    """
    for parts in _cut(first, second, frame, cut):
        yield _join(*parts, frame)


def _cut(
    first: Encoding, second: Encoding | None, frame: Frame, cut: Cut
) -> Iterator[tuple[Encoding, Encoding | None]]:
    total = len(first) + (0 if second is None else len(second))
    added = frame.added(second is not None)
    if cut.by is None or cut.length is None or total + added <= cut.length:
        yield first, second
        return
    room = cut.length - added
    sizes = _sizes(len(first), None if second is None else len(second), room, cut)
    firsts = _parts(first, sizes[0], cut)
    if second is None:
        yield from ((part, None) for part in firsts)
        return
    seconds = _parts(second, sizes[1], cut)
    if len(firsts) > 1 and len(seconds) > 1:
        raise ValueError(Errors.SE141(by=cut.by))
    yield from ((a, b) for a in firsts for b in seconds)


def _sizes(first: int, second: int | None, room: int, cut: Cut) -> tuple[int, int]:
    """How many pieces of each text stay.

    The longer text gives first; where both are longer than half of the room each gets
    half of it, and the longer one the odd piece.
    """
    total = first + (second or 0)
    if cut.by == "longest_first":
        if second is None:
            sizes = (room, 0)
        else:
            short = min(first, second, room // 2)
            sizes = (short, room - short)
            if first > second:
                sizes = (sizes[1], sizes[0])
    elif cut.by == "only_first":
        sizes = (first - (total - room), second or 0)
    else:
        sizes = (first, (second or 0) - (total - room))
    shortened = [
        size
        for size, length in zip(sizes, (first, second or 0), strict=True)
        if size < length
    ]
    if room < 0 or min(shortened, default=0) < (0 if cut.by == "longest_first" else 1):
        raise ValueError(Errors.SE139(length=cut.length, by=cut.by, total=total))
    if cut.keep_rest and any(cut.stride >= size for size in shortened):
        raise ValueError(
            Errors.SE142(stride=cut.stride, room=min(shortened, default=0))
        )
    return sizes


def _parts(text: Encoding, size: int, cut: Cut) -> list[Encoding]:
    """The part of a text that stays, and the other parts where they are kept."""
    length = len(text)
    if size >= length:
        return [text]
    if not cut.keep_rest:
        return [
            _slice(
                text, *((0, size) if cut.side == "right" else (length - size, length))
            )
        ]
    step = size - cut.stride
    begins = range(0, max(length - cut.stride, 1), step)
    bounds = [(begin, min(begin + size, length)) for begin in begins]
    if cut.side == "left":
        bounds = [(length - end, length - begin) for begin, end in bounds]
    return [_slice(text, *bound) for bound in bounds]


def _slice(text: Encoding, begin: int, end: int) -> Encoding:
    part = slice(begin, end)
    return Encoding(
        ids=text.ids[part],
        offsets=text.offsets[part],
        token_type_ids=text.token_type_ids[part],
        special_tokens_mask=text.special_tokens_mask[part],
        words=None if text.words is None else text.words[part],
    )


def _join(first: Encoding, second: Encoding | None, frame: Frame) -> Encoding:
    """[CLS] first [SEP] (second [SEP])."""
    parts = [first]
    if second is not None:
        ones = np.ones(len(second), dtype=np.int64)
        parts.append(replace(second, token_type_ids=ones))
    if frame.cls_id is not None and frame.sep_id is not None:
        framed = [_special(frame.cls_id, 0)]
        for kind, part in enumerate(parts):
            framed += [part, _special(frame.sep_id, kind)]
        parts = framed
    return _concatenated(parts)


def _special(number: int, kind: int, count: int = 1) -> Encoding:
    """A special piece that is not in the text, once or several times."""
    return Encoding(
        ids=np.full(count, number, dtype=np.int64),
        offsets=np.zeros((count, 2), dtype=np.int64),
        token_type_ids=np.full(count, kind, dtype=np.int64),
        special_tokens_mask=np.ones(count, dtype=np.int64),
        words=np.full(count, -1, dtype=np.int64),
    )


def _concatenated(parts: Sequence[Encoding]) -> Encoding:
    words = [part.words for part in parts if part.words is not None]
    return Encoding(
        ids=np.concatenate([part.ids for part in parts]),
        offsets=np.concatenate([part.offsets for part in parts]),
        token_type_ids=np.concatenate([part.token_type_ids for part in parts]),
        special_tokens_mask=np.concatenate([p.special_tokens_mask for p in parts]),
        words=np.concatenate(words) if len(words) == len(parts) else None,
    )


def target_length(
    lengths: Sequence[int], to: str | None, max_length: int | None, multiple: int | None
) -> int | None:
    """What rows of some lengths are padded to, None for nothing."""
    if to is None or (to == "max_length" and max_length is None):
        return None
    length = max(lengths, default=0) if to == "longest" else max_length
    assert length is not None
    return -(-length // multiple) * multiple if multiple else length


def padded(row: Encoding, length: int, pad_id: int, side: str) -> Encoding:
    """A row of at least a length."""
    missing = length - len(row)
    if missing <= 0:
        return row
    padding = _special(pad_id, 0, missing)
    return _concatenated([row, padding] if side == "right" else [padding, row])


def attention_of(length: int, padded_length: int, side: str) -> Integers:
    """1 for the pieces of a row, 0 for its padding."""
    mask = np.zeros(padded_length, dtype=np.int64)
    mask[
        slice(0, length) if side == "right" else slice(padded_length - length, None)
    ] = 1
    return mask


def filled(row: list[int], length: int, value: int, side: str) -> list[int]:
    """A row of at least a length, with a value in the places that are missing."""
    missing = [value] * (length - len(row))
    return [*row, *missing] if side == "right" else [*missing, *row]
