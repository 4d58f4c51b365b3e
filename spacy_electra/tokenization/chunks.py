"""Pieces of chunks of text between blanks, which are cut once and then remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batch_encoding import Integers
from .marks import reach_marks
from .settings import SPECIAL_TOKENS

# Tokenizes texts: of each its encoding by the `tokenizers` library.
Encode = Callable[[Sequence[str]], Sequence[Any]]
# Gives the texts of chunks, by their numbers.
TextsOf = Callable[[list[int]], list[str]]

# Bytes of keys and pieces that are kept, and of one chunk with them; text without
# blanks, as in Chinese, is not worth keeping.
_MOST_KEPT, _MOST_OF_ONE = 8 * 2**20, 2048
# What Python itself needs for a key and its value.
_OVERHEAD = 150
# Chunks of one text for the tokenizer, which takes several texts at once.
_PER_TEXT = 1024
# Id, first character, and the one after the last.
_COLUMNS = 3
# Neither joins what blanks separate, nor looks beyond them.
_NORMALIZERS = {
    *("BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")
}
_PRE_TOKENIZERS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}


class ChunkCache:
    """Pieces of chunks: runs of tokens without a blank between them.

    Words of a text are few and come often, so most of it was cut before. It may be used
    by several threads: each step that changes it is atomic.

    Args:
        encode: Tokenizes texts; see ``cuts_at_blanks``.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._known: dict[bytes, bytes] = {}
        self._size = 0

    def pieces_of(
        self, keys: Sequence[bytes], texts_of: TextsOf
    ) -> tuple[NDArray[np.int32], Integers]:
        """The pieces of all chunks, one after the other.

        Args:
            keys: Of each chunk, equal only where the texts are.
            texts_of: Called for chunks that are not known.

        Returns:
            Id of each piece, its first character in its chunk and the one after its
            last, int32 [N, 3]; and how many pieces each chunk has, int64 [C].
        """
        known = self._known
        found: list[Any] = list(map(known.get, keys))
        if None in found:
            places = [place for place, value in enumerate(found) if value is None]
            missing = {keys[place]: place for place in places}
            texts = texts_of(list(missing.values()))
            new = dict(zip(missing, self._cut(texts), strict=True))
            for place in places:
                found[place] = new[keys[place]]
            self._remember(new)
        row = np.frombuffer(b"".join(found), dtype=np.int32)
        sizes = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        return row.reshape(-1, _COLUMNS), sizes // (_COLUMNS * row.itemsize)

    def _remember(self, new: Mapping[bytes, bytes]) -> None:
        kept = {k: v for k, v in new.items() if len(k) + len(v) <= _MOST_OF_ONE}
        size = sum(map(len, chain(kept, kept.values()))) + _OVERHEAD * len(kept)
        if self._size + size > _MOST_KEPT:
            # What is common is soon known again.
            self._known, self._size = {}, 0
        if size <= _MOST_KEPT:
            self._known.update(kept)
            self._size += size

    def _cut(self, texts: Sequence[str]) -> Iterator[bytes]:
        """The rows of ``pieces_of`` for each text."""
        starts_of_groups = range(0, len(texts), _PER_TEXT)
        groups = [texts[start : start + _PER_TEXT] for start in starts_of_groups]
        wholes = [" ".join(group) for group in groups]
        encodings = self._encode(wholes)
        for group, whole, encoding in zip(groups, wholes, encodings, strict=True):
            ids, offsets = ids_and_offsets([encoding])
            offsets = reach_marks(offsets, whole)
            sizes = np.array([len(text) + 1 for text in group], dtype=np.int64)
            starts = sizes.cumsum() - sizes
            chunk = np.searchsorted(starts, offsets[:, 0], side="right") - 1
            own = offsets - starts[chunk][:, None]
            rows = np.column_stack([ids, own]).astype(np.int32)
            ends = np.searchsorted(chunk, np.arange(len(group)), side="right")
            raw, width = rows.tobytes(), _COLUMNS * rows.itemsize
            for start, end in pairwise([0, *(ends * width).tolist()]):
                yield raw[start:end]


def ids_and_offsets(encodings: Sequence[Any]) -> tuple[Integers, Integers]:
    """Of all texts, one after the other, from what the library gave for them.

    Returns:
        int64 [N], and int64 [N, 2] in characters of each text.
    """
    # Arrays of all texts at once: an array for each would take as long as half of the
    # tokenizer.
    each = chain.from_iterable(encoding.ids for encoding in encodings)
    pairs = chain.from_iterable(encoding.offsets for encoding in encodings)
    ids = np.fromiter(each, dtype=np.int64)
    offsets = np.fromiter(chain.from_iterable(pairs), dtype=np.int64)
    return ids, offsets.reshape(-1, 2)


def cuts_at_blanks(settings: Mapping[str, Any]) -> bool:
    """Whether a text has the pieces of its chunks between blanks, one after the other.

    Args:
        settings: Of a tokenizer.
    """
    own = {"normalizer": _NORMALIZERS, "pre_tokenizer": _PRE_TOKENIZERS}
    if not all(_types(settings[name]) <= types for name, types in own.items()):
        return False
    added = settings["added_tokens"] or ()
    if any(token["lstrip"] or token["rstrip"] for token in added):
        return False
    whole = [token["content"] for token in added]
    whole += [settings[name] for name in SPECIAL_TOKENS]
    whole += settings["never_split"] or ()
    # Normalized, others might have a blank in them.
    return all(content.isascii() and " " not in content for content in whole)


def _types(part: Any) -> set[str]:
    """Types of the parts of a normalizer or a pre-tokenizer, as JSON."""
    if part is None:
        return set()
    parts = part.get("normalizers") or part.get("pretokenizers")
    if part.get("type") != "Sequence" or parts is None:
        return {str(part.get("type"))}
    return set().union(*map(_types, parts))
