"""What an encoder gives for one Doc, as spacy-transformers' components know it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from thinc.types import Floats2d, Ints1d, Ints2d, Ragged

from ..tokenization import ElectraTokenizer
from ..tokenization.alignment import Pieces
from ..tokenization.windows import with_specials
from .adapter import ModelOutput, TransformerData, WordpieceBatch


class PieceData(TransformerData):
    """A Doc's ``TransformerData`` that knows where its pieces lie in the text.

    The fields of spacy-transformers are made when somebody reads them.

    Args:
        texts: Pieces of Docs that were encoded whole.
        number: Of the Doc among them.
        states: Of its [CLS], its pieces and its [SEP], float32 [n + 2, H].
        cls_states: State of the [CLS] of each window, float32 [W, H].
        tokenizer: Knows the strings of ids.

    Attributes:
        readers_left: After how many readings the Doc is rid of this; None for never.
    """

    def __init__(
        self,
        texts: Sequence[Pieces],
        number: int,
        states: Floats2d,
        cls_states: Floats2d,
        tokenizer: ElectraTokenizer,
    ) -> None:
        self._texts = texts
        self._number = number
        self.cls_states = cls_states
        self.readers_left: int | None = None
        self._states = states
        self._tokenizer = tokenizer

    @cached_property
    def pieces(self) -> Pieces:
        """Those of the Doc."""
        return self._texts[self._number]

    @cached_property
    def wordpieces(self) -> WordpieceBatch:  # type: ignore[override]
        """The pieces, with [CLS] and [SEP], of one text."""
        tokenizer = self._tokenizer
        ids = with_specials(
            self.pieces.ids, tokenizer.cls_token_id, tokenizer.sep_token_id
        )[None]
        strings: NDArray[np.object_] = tokenizer.strings[ids]
        return WordpieceBatch(
            strings=strings.tolist(),
            input_ids=cast(Ints2d, ids),
            attention_mask=cast(Floats2d, np.ones(ids.shape, dtype=np.float32)),
            lengths=[ids.size],
            token_type_ids=cast(Ints2d, np.zeros_like(ids)),
        )

    @cached_property
    def model_output(self) -> ModelOutput:  # type: ignore[override]
        """The last hidden state, float32 [1, n + 2, H]."""
        return ModelOutput(
            last_hidden_state=self._states.reshape((1, *self._states.shape))
        )

    @cached_property
    def align(self) -> Ragged:  # type: ignore[override]
        """For each token the places of its pieces, after the [CLS]."""
        alignment = self.pieces.alignment
        return Ragged(cast(Ints1d, alignment.dataXd + 1), alignment.lengths)

    def __getstate__(self) -> dict[str, Any]:
        fields = ("wordpieces", "model_output", "align")
        made = {name: getattr(self, name) for name in fields}
        own = ("pieces", "cls_states", "readers_left")
        return {**made, **{name: getattr(self, name) for name in own}}
