"""Calls of a tokenizer with texts: rows of a batch, by the options of Transformers."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import Errors, Warnings
from .batch_encoding import BatchEncoding, Encoding
from .batching import (
    Cut,
    Frame,
    attention_of,
    cut_by,
    filled,
    padded,
    padded_to,
    rows_of,
    target_length,
)
from .inputs import Inputs, Text, read_inputs
from .lookup import Lookup
from .tensors import as_lists, kind_of

# A longer model_max_length means that there is none, as in Transformers.
_UNLIMITED = 10**20
# What stands in the padding of each value of pieces.
_FILLED = {"token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1}


class CalledWithTexts(Lookup):
    """A tokenizer that is called with texts; how it cuts them, a subclass knows."""

    @abstractmethod
    def cut_texts(self, texts: Sequence[Text], is_split: bool) -> list[Encoding]:
        """Pieces of texts without special ones around, with the words they are from.

        Args:
            texts: Any number.
            is_split: Whether a text is a list of words.
        """

    @property
    def model_max_length(self) -> int:
        """Most pieces of a sequence."""
        return int(self.settings["model_max_length"])

    @model_max_length.setter
    def model_max_length(self, value: int) -> None:
        self.settings["model_max_length"] = value

    @property
    def padding_side(self) -> str:
        """Where padding goes: "right" or "left"."""
        return str(self.settings["padding_side"])

    @padding_side.setter
    def padding_side(self, value: str) -> None:
        self.settings["padding_side"] = value

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special pieces stand around a text, or around two."""
        return self._frame(True).added(pair)

    def __call__(
        self,
        text: str | Sequence[Any],
        text_pair: str | Sequence[Any] | None = None,
        add_special_tokens: bool = True,
        *,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
    ) -> BatchEncoding:
        """Tokenize a text, a pair of texts, or a list of either.

        ``model(**tokenizer(texts, return_tensors="pt", padding=True))`` runs a model.

        Args:
            text: The first, or only, text; or a list.
            text_pair: The second; or a list of as many.
            add_special_tokens: Whether to make it [CLS] text [SEP] (text_pair [SEP]).
            padding: True or "longest" pads to the longest row, "max_length" to
                ``max_length``.
            truncation: True or "longest_first" cuts the longer text of a pair first,
                "only_first" and "only_second" one of them alone.
            max_length: Of a row, in pieces, special ones among them; else
                ``model_max_length``.
            stride: Pieces that overflowing rows share.
            is_split_into_words: Whether each text is a list of words.
            pad_to_multiple_of: Makes the padded length one.
            padding_side: "right" or "left", in place of the tokenizer's own.
            return_tensors: "pt" for tensors of torch, "np" for arrays, None for lists.
            return_token_type_ids: Whether to give them; by default yes.
            return_attention_mask: Whether to give it; by default yes.
            return_overflowing_tokens: Whether what is cut off makes rows of its own;
                "overflow_to_sample_mapping" says of which text each row is.
            return_special_tokens_mask: Whether to give it.
            return_offsets_mapping: Whether to give first and last character of pieces.
            return_length: Whether to give the length of each row.

        Raises:
            ValueError: If an option has no such value, a text is no string, or the
                rows of tensors are of unequal length.
        """
        inputs = read_inputs(text, text_pair, is_split_into_words)
        by = cut_by(truncation)
        if truncation is None and max_length is not None and not padding:
            warnings.warn(Warnings.SW131(length=max_length), stacklevel=2)
            by = "longest_first"
        longest = self._longest(max_length)
        side = str(self.settings["truncation_side"])
        cut = Cut(longest, by, side, stride, keep_rest=return_overflowing_tokens)
        rows, origins = self._rows(inputs, is_split_into_words, add_special_tokens, cut)
        lengths = [len(row) for row in rows]
        where = padding_side or self.padding_side
        target = target_length(lengths, padded_to(padding), longest, pad_to_multiple_of)
        if target is not None:
            rows = [padded(row, target, self.pad_token_id, where) for row in rows]
        columns = {
            "input_ids": [row.ids for row in rows],
            "token_type_ids": [row.token_type_ids for row in rows],
            "attention_mask": [
                attention_of(length, len(row), where)
                for length, row in zip(lengths, rows, strict=True)
            ],
            "special_tokens_mask": [row.special_tokens_mask for row in rows],
            "offset_mapping": [row.offsets for row in rows],
        }
        wanted = {
            "input_ids": True,
            "token_type_ids": return_token_type_ids is not False,
            "attention_mask": return_attention_mask is not False,
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
        }
        data: dict[str, Any] = {n: c for n, c in columns.items() if wanted[n]}
        if return_tensors is None:
            data = {name: as_lists(column) for name, column in data.items()}
            if return_offsets_mapping:
                pairs = data["offset_mapping"]
                data["offset_mapping"] = [list(map(tuple, row)) for row in pairs]
        is_one = inputs.is_one and not return_overflowing_tokens
        if is_one and return_tensors is None:
            data = {name: column[0] for name, column in data.items()}
        if return_length:
            data["length"] = [len(row) for row in rows]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = origins
        batch = BatchEncoding(data, rows, self.strings, is_one)
        return batch.convert_to_tensors(return_tensors)

    def _longest(self, max_length: int | None) -> int | None:
        """Most pieces of a row; None for any number."""
        if max_length is None and self.model_max_length < _UNLIMITED:
            return self.model_max_length
        return max_length

    def _frame(self, add_special_tokens: bool) -> Frame:
        if not add_special_tokens:
            return Frame(None, None)
        return Frame(self.cls_token_id, self.sep_token_id)

    def _rows(
        self, inputs: Inputs, is_split: bool, add_special_tokens: bool, cut: Cut
    ) -> tuple[list[Encoding], list[int]]:
        """Rows of texts, and which text each row is from."""
        first = self.cut_texts(inputs.first, is_split)
        second: Sequence[Encoding | None] = [None] * len(first)
        if inputs.second is not None:
            second = self.cut_texts(inputs.second, is_split)
        frame = self._frame(add_special_tokens)
        rows, origins = [], []
        for number, parts in enumerate(zip(first, second, strict=True)):
            for row in rows_of(*parts, frame, cut):
                rows.append(row)
                origins.append(number)
        return rows, origins

    def encode(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        add_special_tokens: bool = True,
        **options: Any,
    ) -> Any:
        """Ids of a text, or of two, as a list; a tensor or an array if asked for.

        Args:
            text: The first, or only, text.
            text_pair: The second.
            add_special_tokens: Whether to make it [CLS] text [SEP] (text_pair [SEP]).
            options: As of a call.
        """
        return self(text, text_pair, add_special_tokens, **options)["input_ids"]

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Pad what calls gave, for instance the rows of a data set, to one length.

        Args:
            encoded_inputs: What a call gave, or a list of such. Values that are not of
                pieces, such as labels, stay as they are.
            padding: As of a call.
            max_length: As of a call.
            pad_to_multiple_of: As of a call.
            padding_side: As of a call.
            return_attention_mask: Whether to give it; by default yes.
            return_tensors: As of a call; None gives what was given.

        Raises:
            ValueError: If there are no input_ids, or the rows of tensors are of unequal
                length.
        """
        columns = _columns(encoded_inputs)
        if "input_ids" not in columns:
            raise ValueError(Errors.SE146(found=", ".join(columns) or "nothing"))
        given = columns["input_ids"]
        first = given[0] if isinstance(given, (list, tuple)) and len(given) else given
        kind = return_tensors or kind_of(given) or kind_of(first)
        columns = {name: as_lists(value) for name, value in columns.items()}
        ids = columns["input_ids"]
        is_one = not ids or not isinstance(ids[0], list)
        if is_one:
            columns = {name: [value] for name, value in columns.items()}
        rows = columns["input_ids"]
        if return_attention_mask is not False:
            columns.setdefault("attention_mask", [[1] * len(row) for row in rows])
        longest = self._longest(max_length)
        lengths = [len(row) for row in rows]
        target = target_length(lengths, padded_to(padding), longest, pad_to_multiple_of)
        side = padding_side or self.padding_side
        for name, fill in (*_FILLED.items(), ("input_ids", self.pad_token_id)):
            if name in columns and target is not None:
                columns[name] = [
                    filled(row, target, fill, side) for row in columns[name]
                ]
        if is_one and kind is None:
            columns = {name: value[0] for name, value in columns.items()}
        return BatchEncoding(columns).convert_to_tensors(kind)


def _columns(
    inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """One mapping of columns, of a mapping or of a list of rows."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    names = list(inputs[0]) if inputs else []
    return {name: [row[name] for row in inputs] for name in names}
