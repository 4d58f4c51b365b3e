"""The characters of texts, counted a million at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .wordpiece import ElectraTokenizer

_CHUNK = 1_000_000
_CODE_POINTS = 0x110000
# So much of a text may be characters that are unknown.
_RARE = 0.0005
# What a code point can be: not seen yet, dropped, white space, a word of its own, part
# of words.
_NEW, _DROPPED, _SPACE, _ALONE, _INSIDE = range(5)


class Alphabet(NamedTuple):
    """Normalized characters, most frequent first and equals by code point.

    Args:
        characters: All but white space.
        continuing: Those that follow another one inside a word.
        enough: How many of the characters make up 99.95 % of the text.
    """

    characters: list[str]
    continuing: list[str]
    enough: int


def alphabet_of(texts: Iterable[str], tokenizer: ElectraTokenizer) -> Alphabet:
    """Count the characters of texts.

    Args:
        texts: Any number of them.
        tokenizer: Says how they are normalized and where words end.
    """
    kinds = np.full(_CODE_POINTS, _NEW, dtype=np.uint8)
    counts = np.zeros(_CODE_POINTS, dtype=np.int64)
    continuing = np.zeros_like(counts)
    for text in _chunks(texts):
        codes = _codes(text)
        for code in np.unique(codes[kinds[codes] == _NEW]).tolist():
            kinds[code] = _kind_of(chr(code), tokenizer)
        # Letters with something dropped between them stand side by side.
        codes = codes[kinds[codes] != _DROPPED]
        inside = kinds[codes] == _INSIDE
        counts += np.bincount(codes, minlength=_CODE_POINTS)
        following = codes[1:][inside[1:] & inside[:-1]]
        continuing += np.bincount(following, minlength=_CODE_POINTS)
    counts[kinds == _SPACE] = 0
    return _normalized(counts, continuing, tokenizer)


def count_characters(texts: Iterable[str]) -> dict[str, int]:
    """How often each character stands in texts, as they are."""
    counts = np.zeros(_CODE_POINTS, dtype=np.int64)
    for text in _chunks(texts):
        counts += np.bincount(_codes(text), minlength=_CODE_POINTS)
    return {chr(code): int(counts[code]) for code in np.flatnonzero(counts).tolist()}


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def _chunks(texts: Iterable[str]) -> Iterator[str]:
    """Texts joined by line breaks to about a million characters each."""
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= _CHUNK:
            yield "\n".join(part)
            part, size = [], 0
    if part:
        yield "\n".join(part)


def _kind_of(character: str, tokenizer: ElectraTokenizer) -> int:
    """What a character is between two letters."""
    word = tokenizer.normalize(f"a{character}a")
    if word == "aa":
        return _DROPPED
    parts = [part for part, _ in tokenizer.backend.pre_tokenizer.pre_tokenize_str(word)]
    if len(parts) == 1:
        return _INSIDE
    return _SPACE if len(parts) == 2 else _ALONE


def _normalized(
    counts: NDArray[np.int64],
    continuing: NDArray[np.int64],
    tokenizer: ElectraTokenizer,
) -> Alphabet:
    """Counts of code points as normalized characters, which may be several of one."""
    totals: Counter[str] = Counter()
    following: Counter[str] = Counter()
    for code in np.flatnonzero(counts).tolist():
        first, *others = list(tokenizer.normalize(chr(code)).strip(" "))
        totals[first] += int(counts[code])
        if continuing[code]:
            following[first] += int(continuing[code])
        for character in others:
            totals[character] += int(counts[code])
            following[character] += int(counts[code])
    return Alphabet(_by_frequency(totals), _by_frequency(following), _enough(totals))


def _enough(counts: Counter[str]) -> int:
    """How many characters, the most frequent ones, make up nearly all of the text."""
    ascending = np.sort(np.fromiter(counts.values(), dtype=np.int64))
    rare = np.searchsorted(ascending.cumsum(), _RARE * ascending.sum(), side="right")
    return len(counts) - int(rare)


def _by_frequency(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda character: (-counts[character], character))
