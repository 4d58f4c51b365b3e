"""Pieces of chunks of text between blanks, which are cut once and then remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batch_encoding import Integers
from .ends import heads
from .marks import reach_marks
from .settings import SPECIAL_TOKENS

# Tokenizes texts: of each its encoding by the `tokenizers` library.
Encode = Callable[[Sequence[str]], Sequence[Any]]
# Gives the texts of chunks, by their numbers.
TextsOf = Callable[[Integers], list[str]]

# Bytes of keys and pieces that are kept, and of one chunk with them; text without
# blanks, as in Chinese, is not worth keeping.
_MOST_KEPT, _MOST_OF_ONE = 8 * 2**20, 2048
# What Python itself needs for a key and its value.
_OVERHEAD = 150
# So many chunks are looked up one by one, whether they are different or not.
FEW = 64
# Chunks of one text for the tokenizer, which takes several texts at once.
_PER_TEXT = 256
# Id, first character, and the one after the last, and the bytes of that.
_COLUMNS = 3
_BYTES = _COLUMNS * np.dtype(np.int32).itemsize
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
        self._known: dict[int, bytes] = {}
        self._size = 0

    def pieces_of(
        self, keys: list[int] | NDArray[np.uint64], texts_of: TextsOf
    ) -> tuple[NDArray[np.int32], list[int] | Integers]:
        """The pieces of all chunks, one after the other.

        Args:
            keys: Hash of each chunk's text, or of the tokens that it is made of.
            texts_of: Called for chunks that are not known.

        Returns:
            Id of each piece, its first character in its chunk and the one after its
            last, int32 [N, 3]; and how many pieces each chunk has, int64 [C] or, of
            few chunks, a list.
        """
        places = kinds = None
        if isinstance(keys, list):
            own = keys
        elif len(keys) <= FEW:
            own = keys.tolist()
        else:
            places, kinds = different(keys)
            own = keys[places].tolist()
        found: list[Any] = list(map(self._known.get, own))
        if None in found:
            missing = {own[i]: i for i, value in enumerate(found) if value is None}
            numbers = np.array(list(missing.values()))
            texts = texts_of(numbers if places is None else places[numbers])
            new = dict(zip(missing, self._cut(texts), strict=True))
            found = [new[own[i]] if v is None else v for i, v in enumerate(found)]
            self._remember(new)
        rows = np.frombuffer(b"".join(found), dtype=np.int32).reshape(-1, _COLUMNS)
        sizes = [len(part) // _BYTES for part in found]
        if kinds is None:
            return rows, sizes
        sizes_of_kinds = np.array(sizes)
        counts = sizes_of_kinds[kinds]
        shifts = heads(sizes_of_kinds)[kinds] - heads(counts)
        return rows[np.arange(counts.sum()) + shifts.repeat(counts)], counts

    def _remember(self, new: Mapping[int, bytes]) -> None:
        kept = {k: v for k, v in new.items() if len(v) <= _MOST_OF_ONE}
        size = sum(map(len, kept.values())) + _OVERHEAD * len(kept)
        if self._size + size > _MOST_KEPT:
            # What is common is soon known again.
            self._known, self._size = {}, 0
        if size <= _MOST_KEPT:
            self._known.update(kept)
            self._size += size

    def _cut(self, texts: Sequence[str]) -> list[bytes]:
        """The rows of ``pieces_of`` for each text."""
        starts_of_groups = range(0, len(texts), _PER_TEXT)
        wholes = [" ".join(texts[i : i + _PER_TEXT]) for i in starts_of_groups]
        encodings = self._encode(wholes)
        ids, offsets = ids_and_offsets(encodings)
        # As if all texts stood in one row, with a blank between them.
        begins = heads(np.array([len(whole) + 1 for whole in wholes]))
        offsets += begins.repeat([len(encoding) for encoding in encodings])[:, None]
        offsets = reach_marks(offsets, " ".join(wholes))
        starts = heads(np.array([len(text) + 1 for text in texts]))
        firsts = offsets[:, 0].searchsorted(starts)
        sizes = np.diff(firsts, append=len(ids))
        own = offsets - starts.repeat(sizes)[:, None]
        rows = np.column_stack([ids, own]).astype(np.int32)
        raw, ends = rows.tobytes(), ((firsts + sizes) * _BYTES).tolist()
        return [raw[start:end] for start, end in pairwise([0, *ends])]


def different(keys: NDArray[np.uint64]) -> tuple[Integers, Integers]:
    """Which keys there are.

    Returns:
        A place of each different key, and which of these each key is, int64.
    """
    # Where NumPy sorts for `unique` with the place of the first, it takes far longer.
    order = keys.argsort()
    ordered = keys[order]
    is_new = np.append(True, ordered[1:] != ordered[:-1])[: len(keys)]
    kinds = np.empty(len(keys), dtype=np.int64)
    kinds[order] = is_new.cumsum() - 1
    return order[is_new], kinds


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
