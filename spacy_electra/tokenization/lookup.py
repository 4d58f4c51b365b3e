"""Pieces and their ids: the half of a tokenizer that needs no text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors
from .settings import SPECIAL_TOKENS


class Lookup:
    """A vocabulary with five special tokens.

    Args:
        vocab: Id of each piece and added token.
        settings: Of the tokenizer; they name the special tokens.
    """

    def __init__(self, vocab: dict[str, int], settings: dict[str, Any]) -> None:
        self.vocab = vocab
        self.settings = settings

    def __len__(self) -> int:
        return len(self.vocab)

    @property
    def vocab_size(self) -> int:
        """Number of rows that an embedding needs: the largest id and one."""
        return max(self.vocab.values()) + 1

    def get_vocab(self) -> dict[str, int]:
        """A copy of the vocabulary, added tokens among it."""
        return dict(self.vocab)

    def check_fits(self, rows: int, source: str | os.PathLike[str]) -> None:
        """Refuse an embedding table that has no row for some of the pieces.

        Args:
            rows: Of the table.
            source: Named in the message.

        Raises:
            ValueError: If an id is beyond it.
        """
        beyond = sorted((n, piece) for piece, n in self.vocab.items() if n >= rows)
        if beyond:
            names = ", ".join(f"{piece!r} ({n})" for n, piece in beyond[:3])
            raise ValueError(
                Errors.SE144(
                    source=os.fspath(source), rows=rows, count=len(beyond), names=names
                )
            )

    @property
    def wordpieces_prefix(self) -> str:
        """What begins a piece that continues a word."""
        return str(self.settings["wordpieces_prefix"])

    @cached_property
    def continuations(self) -> NDArray[np.bool_]:
        """Whether a piece continues a word rather than beginning one, bool [V]."""
        continues = np.zeros(self.vocab_size, dtype=bool)
        for piece, number in self.vocab.items():
            continues[number] = piece.startswith(self.wordpieces_prefix)
        return continues

    @cached_property
    def unk_token(self) -> str:
        """The piece of a word that no other pieces make up."""
        return str(self.settings["unk_token"])

    @cached_property
    def sep_token(self) -> str:
        """The piece that ends a text."""
        return str(self.settings["sep_token"])

    @property
    def pad_token(self) -> str:
        """The piece that fills a batch."""
        return str(self.settings["pad_token"])

    @cached_property
    def cls_token(self) -> str:
        """The piece that begins a sequence."""
        return str(self.settings["cls_token"])

    @property
    def mask_token(self) -> str:
        """The piece that hides another."""
        return str(self.settings["mask_token"])

    @cached_property
    def unk_token_id(self) -> int:
        """Id of ``unk_token``."""
        return self.vocab[self.unk_token]

    @cached_property
    def sep_token_id(self) -> int:
        """Id of ``sep_token``."""
        return self.vocab[self.sep_token]

    @property
    def pad_token_id(self) -> int:
        """Id of ``pad_token``."""
        return self.vocab[self.pad_token]

    @cached_property
    def cls_token_id(self) -> int:
        """Id of ``cls_token``."""
        return self.vocab[self.cls_token]

    @property
    def mask_token_id(self) -> int:
        """Id of ``mask_token``."""
        return self.vocab[self.mask_token]

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, by id: the five and those added as special."""
        added = self.settings["added_tokens"] or ()
        names = {self.settings[name] for name in SPECIAL_TOKENS}
        names.update(token["content"] for token in added if token.get("special"))
        return sorted(names, key=self.vocab.__getitem__)

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of the special tokens, ascending."""
        return [self.vocab[token] for token in self.all_special_tokens]

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    @overload
    def convert_tokens_to_ids(
        self, tokens: list[str] | tuple[str, ...]
    ) -> list[int]: ...

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> int | list[int]:
        """Ids of pieces, or of one; for what is none, that of the unknown piece."""
        if isinstance(tokens, str):
            return self.vocab.get(tokens, self.unk_token_id)
        return [self.vocab.get(token, self.unk_token_id) for token in tokens]

    @overload
    def convert_ids_to_tokens(
        self, ids: int, skip_special_tokens: bool = False
    ) -> str: ...
    @overload
    def convert_ids_to_tokens(
        self, ids: Iterable[int], skip_special_tokens: bool = False
    ) -> list[str]: ...

    def convert_ids_to_tokens(
        self, ids: int | Iterable[int], skip_special_tokens: bool = False
    ) -> str | list[str]:
        """Pieces of ids, or of one.

        Raises:
            ValueError: If the vocabulary has no such id.
        """
        if not isinstance(ids, Iterable):
            return self._token_of(ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._token_of(n) for n in map(int, ids) if n not in skipped]

    def _token_of(self, number: int) -> str:
        known = 0 <= number < len(self.strings)
        token: str = self.strings[number] if known else ""
        # A piece may be the empty string: a vocab.txt can have an empty line.
        if not token and self.vocab.get("") != number:
            raise ValueError(Errors.SE102(id=number, size=self.vocab_size))
        return token

    @cached_property
    def strings(self) -> NDArray[np.object_]:
        """The piece of each id, "" where there is none, object [vocab_size].

        ``tokenizer.strings[ids]`` converts arrays of any shape at once.
        """
        strings = np.full(self.vocab_size, "", dtype=object)
        strings[list(self.vocab.values())] = list(self.vocab)
        return strings
