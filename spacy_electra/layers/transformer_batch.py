"""The output of an encoder as spacy-transformers' components know it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from spacy.tokens import Doc, Span
from thinc.types import Floats2d, Ints1d, Ints2d, Ragged
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ..errors import Errors
from ..tokenization import ElectraTokenizer
from ..tokenization.alignment import Integers, Pieces
from ..tokenization.windows import Windows
from .adapter import (
    FullTransformerBatch,
    ModelOutput,
    TransformerData,
    WordpieceBatch,
)
from .attention_weights import attention_of_spans
from .layout import (
    Layout,
    SpanTable,
    make_table,
    packed_layout,
    padded_layout,
    rows_of_doc_tokens,
)
from .piece_data import PieceData
from .types import PieceStates

# Makes the array of one Doc: (its number, its first span, the one after its last).
PartOf = Callable[[int, int, int], Any]


@dataclass
class BatchGradient(FullTransformerBatch):
    """Gradient of a batch, with that of the [CLS] of each window, [W, H], if any."""

    cls_states: Tensor | None = None


class ElectraBatch(FullTransformerBatch):
    """The states of a batch of Docs, from packed rows.

    What spacy-transformers' own class holds padded over the whole batch is made when
    it is asked for.

    Args:
        docs: D Docs.
        spans: Of each Doc; None where each is one span, whose array is as wide as it
            is long. Otherwise every span is padded to the longest of all.
        pieces: Of each of the S spans.
        windows: Over them.
        hidden: Rows of the windows, float [T, H], or of all layers [K, T, H].
        tokenizer: Knows the strings of ids.
        keep_all: Whether the states of all layers were asked for.
        attentions: Of each layer the attention weights of each window, in the order of
            ``windows.lengths``, float [heads, s, s] with s at least its length.
    """

    def __init__(
        self,
        docs: Sequence[Doc],
        spans: list[list[Span]] | None,
        pieces: Sequence[Pieces],
        windows: Windows,
        hidden: Tensor,
        tokenizer: ElectraTokenizer,
        *,
        keep_all: bool = False,
        attentions: Sequence[Sequence[Tensor]] | None = None,
    ) -> None:
        self.docs = docs
        self.is_whole = spans is None
        if spans is not None:
            self.spans = spans
        self.cached_doc_data = None
        self.pieces = pieces
        self.windows = windows
        self._hidden = hidden
        self._tokenizer = tokenizer
        self._keep_all = keep_all
        self._attentions = attentions
        self._states: Tensor | None = None

    @cached_property
    def _table(self) -> SpanTable:
        return make_table(self.pieces, self.windows)

    @cached_property
    def _spans_per_doc(self) -> Integers:
        if self.is_whole:
            return np.ones(len(self.docs), dtype=np.int64)
        return np.array([len(part) for part in self.spans], dtype=np.int64)

    @cached_property
    def _layout(self) -> Layout:
        if self.is_whole:
            return packed_layout(self._table.lengths)
        return padded_layout(self._table.lengths, self._spans_per_doc)

    @cached_property
    def spans(self) -> list[list[Span]]:  # type: ignore[override]
        """Of each Doc, those that were encoded."""
        return [[doc[:]] for doc in self.docs]

    @property
    def states(self) -> Tensor:
        """Last hidden states in the places of the layout, float32 [N, H]."""
        if self._states is None:
            self._states = self._in_places(self._layout, self._last())
        return self._states

    def _last(self) -> Tensor:
        return self._hidden if self._hidden.dim() == 2 else self._hidden[-1]

    def _in_places(self, layout: Layout, hidden: Tensor) -> Tensor:
        rows = torch.from_numpy(self._table.rows).to(hidden.device)
        states = hidden.index_select(0, rows).float()
        if layout.size == len(rows):
            return states
        places = torch.from_numpy(layout.places).to(hidden.device)
        padded = states.new_zeros((layout.size, states.shape[1]))
        return padded.index_copy_(0, places, states)

    @property
    def wordpieces(self) -> WordpieceBatch:  # type: ignore[override]
        """The pieces of all spans, padded to the longest."""
        layout = padded_layout(self._table.lengths, self._spans_per_doc)
        shape = (len(self._table.lengths), layout.width)
        ids, mask = self._ids_and_mask(layout)
        return WordpieceBatch(
            strings=self._tokenizer.strings[ids].reshape(shape).tolist(),
            input_ids=cast(Ints2d, ids.reshape(shape)),
            attention_mask=mask.reshape(shape),
            lengths=self._table.lengths.tolist(),
            token_type_ids=cast(Ints2d, np.zeros(shape, dtype=np.int64)),
        )

    @property
    def align(self) -> Ragged:  # type: ignore[override]
        """For each token its places among the padded pieces of all spans."""
        layout = padded_layout(self._table.lengths, self._spans_per_doc)
        rows, counts = self._rows_of_tokens()
        return _ragged(layout.places[rows], counts)

    @property
    def model_output(self) -> ModelOutput:  # type: ignore[override]
        """Hidden states (and all else that was asked for), padded to the longest."""
        layout = padded_layout(self._table.lengths, self._spans_per_doc)
        shape = (len(self._table.lengths), layout.width, -1)

        def padded(hidden: Tensor) -> Tensor:
            return self._in_places(layout, hidden).view(shape)

        output = ModelOutput(last_hidden_state=padded(self._last()))
        if self._keep_all:
            output["hidden_states"] = tuple(padded(part) for part in self._hidden)
        if self._attentions is not None:
            count = len(self.pieces)
            output["attentions"] = tuple(
                self._attention_of(weights, range(count), layout.width)
                for weights in self._attentions
            )
        return output

    def _attention_of(
        self, weights: Sequence[Tensor], spans: range, width: int
    ) -> Tensor:
        padded = attention_of_spans(weights, self.windows, self._table, spans, width)
        return padded.to(self._hidden.device)

    def _rows_of_tokens(self) -> tuple[Integers, Integers]:
        flat = [span for spans in self.spans for span in spans]
        docs = np.repeat(np.arange(len(self.docs)), self._spans_per_doc)
        lengths = self._table.lengths
        return rows_of_doc_tokens(self.docs, flat, docs, self.pieces, lengths)

    def _ids_and_mask(self, layout: Layout) -> tuple[Integers, Any]:
        ids = np.full(layout.size, self._tokenizer.pad_token_id, dtype=np.int64)
        ids[layout.places] = self._table.ids
        mask = np.zeros(layout.size, dtype=np.float32)
        mask[layout.places] = 1.0
        return ids, mask

    def split_by_doc(self) -> list[TransformerData]:
        """One ``TransformerData`` a Doc; that of a Doc without spans is empty."""
        return self._split_whole() if self.is_whole else self._split_spans()

    def _split_whole(self) -> list[TransformerData]:
        if len(self.windows.lengths) == 1 and self._hidden.dim() == 2:
            # One text in one window has all rows, and their memory to itself; nothing
            # else was asked for.
            states = _array(self._hidden)
            return [PieceData(self.pieces, 0, states, states[:1], self._tokenizer)]
        others = self._other_outputs()
        windows, count = self.windows, len(self.pieces)
        table = self._table
        arrays = self._rows_apart(table.rows, table.lengths, range(count))
        several = (windows.windows_per_text > 1).nonzero()[0].tolist()
        cls_rows, per_text = windows.cls_rows, windows.windows_per_text
        of_windows = self._rows_apart(cls_rows, per_text, several) if several else []
        cls_states_of = dict(zip(several, of_windows, strict=True))
        result: list[TransformerData] = []
        for number, states in enumerate(arrays):
            # The first row is the [CLS] of the first window, so often of the only one.
            cls_states = cls_states_of.get(number, states[:1])
            data = PieceData(self.pieces, number, states, cls_states, self._tokenizer)
            for key, parts in others.items():
                own = [part(number, number, number + 1) for part in parts]
                data.model_output[key] = own
            result.append(data)
        return result

    def _rows_apart(
        self, rows: Integers, counts: Integers, numbers: Iterable[int]
    ) -> list[Any]:
        """Rows of the last hidden state as arrays, each of which has its own memory.

        A view would keep the whole batch for as long as one of its Docs is kept.

        Args:
            rows: Of all arrays, one after the other.
            counts: Rows of each array.
            numbers: Of the arrays that are wanted.
        """
        hidden = self._last()
        starts = _starts(counts)
        wanted = [slice(starts[number], starts[number + 1]) for number in numbers]
        if hidden.device.type == "cpu":
            source = hidden.float().numpy()
            return [source.take(rows[own], axis=0) for own in wanted]
        # There, one call for all of them is faster.
        gathered = hidden.index_select(0, torch.from_numpy(rows).to(hidden.device))
        states: Any = torch2xp(gathered.float())
        return [states[own].copy() for own in wanted]

    def _split_spans(self) -> list[TransformerData]:
        layout = self._layout
        ids, mask = self._ids_and_mask(layout)
        strings = self._tokenizer.strings[ids]
        states: Any = torch2xp(self.states)
        others = self._other_outputs()
        rows, counts = self._rows_of_tokens()
        # Thinc wants 32 bits in a Ragged.
        places = layout.places[rows].astype("i")
        token_counts = counts.astype("i")
        types = np.zeros_like(ids)
        lengths = self._table.lengths.tolist()
        widths = layout.widths.tolist()
        # Where the part of each Doc begins, and where the last one ends.
        starts = layout.starts.tolist()
        span_starts = _starts(self._spans_per_doc)
        token_starts = _starts(np.array([len(doc) for doc in self.docs], dtype=int))
        row_starts = np.concatenate([[0], counts.cumsum()])[token_starts].tolist()
        result: list[TransformerData] = []
        for number in range(len(self.docs)):
            first, end = span_starts[number : number + 2]
            if first == end:
                result.append(TransformerData.empty())
                continue
            shape = (end - first, widths[number])
            own = slice(*starts[number : number + 2])
            own_ids = cast(Ints2d, ids[own].reshape(shape))
            own_rows = slice(*row_starts[number : number + 2])
            own_tokens = slice(*token_starts[number : number + 2])
            own_states = states[own].reshape((*shape, states.shape[1]))
            output = ModelOutput(last_hidden_state=own_states)
            for key, parts in others.items():
                output[key] = [part(number, first, end) for part in parts]
            data = TransformerData(
                wordpieces=WordpieceBatch(
                    strings=strings[own].reshape(shape).tolist(),
                    input_ids=own_ids,
                    attention_mask=mask[own].reshape(shape),
                    lengths=lengths[first:end],
                    token_type_ids=cast(Ints2d, types[own].reshape(shape)),
                ),
                model_output=output,
                align=Ragged(
                    cast(Ints1d, places[own_rows] - own.start),
                    cast(Ints1d, token_counts[own_tokens]),
                ),
            )
            result.append(data)
        return result

    def _other_outputs(self) -> dict[str, list[PartOf]]:
        """Makers of a Doc's array for each layer of what else was asked for."""
        outputs: dict[str, list[PartOf]] = {}
        if not self._keep_all and self._attentions is None:
            return outputs
        layout = self._layout

        def states_of(hidden: Tensor) -> PartOf:
            states: Any = torch2xp(self._in_places(layout, hidden))

            def part(doc: int, first: int, end: int) -> Any:
                own = states[layout.starts[doc] : layout.starts[doc + 1]]
                return own.reshape((end - first, int(layout.widths[doc]), -1))

            return part

        def attention_of(weights: Sequence[Tensor]) -> PartOf:
            def part(doc: int, first: int, end: int) -> Any:
                width = int(layout.widths[doc])
                own = range(first, end)
                return torch2xp(self._attention_of(weights, own, width))

            return part

        if self._keep_all:
            outputs["hidden_states"] = [states_of(part) for part in self._hidden]
        if self._attentions is not None:
            outputs["attentions"] = [attention_of(part) for part in self._attentions]
        return outputs

    def _cls_states(self) -> Floats2d:
        rows = torch.from_numpy(self.windows.cls_rows).to(self._hidden.device)
        return cast(Floats2d, torch2xp(self._last().index_select(0, rows).float()))

    def _piece_places(self) -> Tensor:
        places = self._layout.places[self._table.is_piece]
        return torch.from_numpy(places).to(self._hidden.device)

    @property
    def piece_states(self) -> PieceStates:
        """One row a piece, for ``EncoderListener``.

        Raises:
            ValueError: If the Docs were cut into spans.
        """
        if not self.is_whole:
            raise ValueError(Errors.SE325())
        states = self.states.index_select(0, self._piece_places())
        return PieceStates(
            states=cast(Floats2d, torch2xp(states)),
            cls=self._cls_states,
            windows_per_doc=cast(Ints1d, self.windows.windows_per_text),
            pieces=self.pieces,
        )

    def unsplit_by_doc(self, arrays: list[list[Any]]) -> FullTransformerBatch:
        """The gradient of the batch, from that of each Doc that has spans.

        Args:
            arrays: For each such Doc the gradient of its last hidden state, float
                [spans, width, H]; any after it are not used.
        """
        return self.gradient(self.rows_of_gradients([part[0] for part in arrays]))

    def rows_of_gradients(self, arrays: Sequence[Any]) -> Tensor:
        """Gradients of the Docs that have spans, end to end, float [N, H]."""
        states = self.states
        if not len(arrays):
            return torch.zeros_like(states)
        parts = [xp2torch(part, device=states.device) for part in arrays]
        return torch.cat([part.reshape(-1, states.shape[1]) for part in parts])

    def rows_of_piece_gradient(self, gradient: PieceStates) -> tuple[Tensor, Tensor]:
        """The gradient of ``piece_states``, as [N, H] and for each [CLS], [W, H]."""
        device = self._hidden.device
        rows = torch.zeros_like(self.states)
        rows.index_copy_(
            0, self._piece_places(), xp2torch(gradient.states, device=device)
        )
        return rows, xp2torch(gradient.cls_states, device=device)

    def gradient(
        self, rows: Tensor, cls_states: Tensor | None = None
    ) -> FullTransformerBatch:
        """What the model's callback takes.

        Args:
            rows: Gradient of ``states``, float [N, H].
            cls_states: Gradient of the [CLS] of each window, float [W, H].
        """
        return BatchGradient(
            spans=self.spans,
            wordpieces=WordpieceBatch.empty(),
            model_output=ModelOutput(output_0=rows),
            align=_ragged(np.zeros(0), np.zeros(0)),
            cls_states=cls_states,
        )

    def gradient_of_hidden(self, gradient: FullTransformerBatch) -> Tensor:
        """The gradient of the packed rows, of the shape of what the network gave."""
        (first, *_) = gradient.model_output.values()
        whole = torch.zeros(self._hidden.shape, device=self._hidden.device)
        last = whole if whole.dim() == 2 else whole[-1]
        device = last.device
        places = torch.from_numpy(self._layout.places).to(device)
        rows = torch.from_numpy(self._table.rows).to(device)
        values = first.to(device).reshape(-1, last.shape[1]).index_select(0, places)
        last.index_add_(0, rows, values)
        of_cls = getattr(gradient, "cls_states", None)
        if of_cls is not None:
            cls_rows = torch.from_numpy(self.windows.cls_rows).to(device)
            last.index_add_(0, cls_rows, of_cls)
        return whole


def _array(states: Tensor) -> Any:
    """In float32, as ``torch2xp``, which looks for modules on each call."""
    if states.dtype != torch.float32:
        states = states.float()
    return states.numpy() if states.device.type == "cpu" else torch2xp(states)


def _starts(counts: Integers) -> list[int]:
    """Where the parts of these sizes begin, end to end, and where the last one ends."""
    return [0, *counts.cumsum().tolist()]


def _ragged(data: Any, lengths: Any) -> Ragged:
    return Ragged(
        cast(Ints1d, np.asarray(data).astype("i")),
        cast(Ints1d, np.asarray(lengths).astype("i")),
    )
