"""What layers hand to each other."""

from __future__ import annotations

from dataclasses import dataclass

from thinc.types import Floats2d, Ints1d

from ..tokenization.alignment import Pieces


@dataclass(frozen=True)
class PieceStates:
    """States of the pieces of several Docs.

    Args:
        states: One row a piece of every Doc, in order, float32 [N, H].
        cls_states: One row a window, the state of its [CLS], in the order of the Docs
            and of the text, float32 [W, H].
        windows_per_doc: int [D].
        pieces: Of each Doc; they say which rows of ``states`` a token has.
    """

    states: Floats2d
    cls_states: Floats2d
    windows_per_doc: Ints1d
    pieces: list[Pieces]
