"""Texts as pieces: one of them, and a batch by key as Transformers has it."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tensors import to_tensors

Integers = NDArray[np.int64]
# What a mapping of one text also gives as an array, by attribute.
_AS_ARRAYS = ("ids", "offsets", "token_type_ids", "special_tokens_mask")


@dataclass(frozen=True)
class Encoding:
    """A text, or a pair of texts, as pieces.

    Args:
        ids: int64 [n].
        offsets: First character of each piece in its text and the one after its last,
            int64 [n, 2]; (0, 0) for a special piece that is not in the text. Where
            words were given, characters count from the beginning of the word.
        token_type_ids: 0 for the first text, 1 for the second, int64 [n].
        special_tokens_mask: 1 for a special piece that is not in the text, int64 [n].
        words: Which word of its text each piece belongs to, int64 [n]; -1 for a special
            piece that is not in the text. None where nobody asked for it.
    """

    ids: Integers
    offsets: Integers
    token_type_ids: Integers
    special_tokens_mask: Integers
    words: Integers | None = None

    def __len__(self) -> int:
        return len(self.ids)


class BatchEncoding(UserDict[str, Any]):
    """Pieces of texts by key, as in ``transformers.BatchEncoding``.

    ``model(**batch)`` takes it; keys are attributes too. Of one text that was tokenized
    alone, ``ids``, ``offsets``, ``token_type_ids`` and ``special_tokens_mask`` are
    arrays as in ``Encoding``.

    Args:
        data: ``input_ids`` and so on.
        encodings: Of each row.
        tokens: Piece of each id.
        is_one: Whether the keys hold one text rather than a list of them.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encodings: Sequence[Encoding] = (),
        tokens: NDArray[np.object_] | None = None,
        is_one: bool = False,
    ) -> None:
        super().__init__(data or {})
        self.encodings = list(encodings)
        self._tokens = tokens
        self._is_one = is_one

    def __getattr__(self, name: str) -> Any:
        # Whoever copies or unpickles asks before there is anything to look into.
        if name.startswith("_") or name in ("data", "encodings"):
            raise AttributeError(name)
        if name in _AS_ARRAYS and self._is_one and self.encodings:
            return getattr(self.encodings[0], name)
        if name in self.data:
            return self.data[name]
        raise AttributeError(name)

    def tokens(self, row: int = 0) -> list[str]:
        """The pieces of a row, as strings."""
        assert self._tokens is not None
        return self._tokens[self.encodings[row].ids].tolist()

    def word_ids(self, row: int = 0) -> list[int | None]:
        """Which word each piece of a row belongs to; None for special pieces."""
        words = self.encodings[row].words
        assert words is not None
        return [None if word < 0 else word for word in words.tolist()]

    def sequence_ids(self, row: int = 0) -> list[int | None]:
        """Which text of a pair each piece of a row is from; None for special pieces."""
        encoding = self.encodings[row]
        types, special = encoding.token_type_ids, encoding.special_tokens_mask
        return [
            None if is_special else kind
            for kind, is_special in zip(types.tolist(), special.tolist(), strict=True)
        ]

    def convert_to_tensors(self, kind: str | None = None) -> BatchEncoding:
        """Make tensors ("pt") or arrays ("np") of all values, in place.

        Raises:
            ValueError: If there is no such kind, or rows are of unequal length.
        """
        self.data = to_tensors(self.data, kind)
        self._is_one = self._is_one and kind is None
        return self

    def to(self, device: Any) -> BatchEncoding:
        """Move all tensors to a device, in place."""
        self.data = {
            name: value.to(device) if hasattr(value, "to") else value
            for name, value in self.data.items()
        }
        return self
