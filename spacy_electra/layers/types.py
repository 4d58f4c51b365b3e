"""What layers hand to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import srsly
from spacy.tokens import Doc
from thinc.api import Model, get_array_module
from thinc.types import Floats2d, Ints1d
from thinc.util import convert_recursive, is_xp_array

from ..errors import Errors
from ..tokenization.alignment import Pieces
from ..tokenization.windows import Windows

InT = TypeVar("InT")
OutT = TypeVar("OutT")


# What Thinc writes of every node of a model.
_PARTS = ("nodes", "attrs", "params", "shims")


class OwnClass(Model[InT, OutT]):
    """A Thinc model of a class with properties of its own; its copies have them too."""

    __slots__ = ()

    def _copy(self, seen: dict[int, Any] | None = None) -> Any:
        copied = super()._copy(seen)
        # Thinc's is a plain Model.
        copied.__class__ = type(self)
        return copied

    def from_bytes(self, bytes_data: bytes) -> Any:
        """Take what ``to_bytes`` gave.

        Raises:
            ValueError: If it is damaged, or of a model of another structure; if weights
                are missing. The message names what is damaged.
        """
        try:
            message = srsly.msgpack_loads(bytes_data)
        except (ValueError, TypeError) as error:
            raise ValueError(Errors.SE340(part=self.name, error=error)) from error
        return self.from_dict(convert_recursive(is_xp_array, self.ops.asarray, message))

    def from_dict(self, msg: dict[str, Any]) -> Any:
        """As ``from_bytes``."""
        nodes = list(self.walk())
        parts = [msg.get(key) if isinstance(msg, dict) else None for key in _PARTS]
        for part in parts:
            if not isinstance(part, list) or len(part) != len(nodes):
                raise ValueError(Errors.SE344(name=self.name))
        for node, shims in zip(nodes, msg["shims"], strict=True):
            # Thinc would load as many as there are.
            if len(shims) != len(node.shims):
                raise ValueError(Errors.SE344(name=self.name))
        super().from_dict(msg)
        for node in nodes:
            if isinstance(node, OwnClass):
                node.check_loaded()
        return self

    def check_loaded(self) -> None:
        """Refuse what was loaded, if weights are missing.

        Raises:
            ValueError: If they are.
        """


@dataclass(frozen=True)
class TextPair:
    """A Doc, and a second text beside it, as an encoder takes it in place of a Doc.

    Both stand in one sequence, told apart by token types, as pairs of texts do in
    Transformers. The second text goes with every window of a long Doc and is never cut;
    states come back of the Doc's pieces alone. Without a second text the pair is the
    Doc alone.

    Args:
        doc: Of any length.
        before: Stands before the Doc, as a question before its context:
            [CLS] before [SEP] doc [SEP].
        after: Follows the Doc, as the second of two sentences:
            [CLS] doc [SEP] after [SEP].

    Raises:
        ValueError: If both are given.
    """

    doc: Doc
    before: str | None = None
    after: str | None = None

    def __post_init__(self) -> None:
        if self.before is not None and self.after is not None:
            raise ValueError(Errors.SE330(before=self.before, after=self.after))

    @property
    def second(self) -> str | None:
        """The second text, wherever it stands."""
        return self.after if self.before is None else self.before


# What an encoder takes.
Text = Doc | TextPair


@dataclass(frozen=True)
class PieceStates:
    """States of the pieces of several texts: Docs, or Docs of pairs.

    Args:
        states: One row a piece of every Doc, in order, float32 [N, H].
        cls: One row a window, the state of its [CLS], in the order of the Docs and of
            the text, float32 [W, H]; or what gives them, where few will ask.
        windows_per_doc: int [D].
        pieces: Of each Doc; they say which rows of ``states`` a token has.
        windows: Where the states come from; None where another component made them.
    """

    states: Floats2d
    cls: Floats2d | Callable[[], Floats2d]
    windows_per_doc: Ints1d
    pieces: Sequence[Pieces]
    windows: Windows | None = None

    @property
    def cls_states(self) -> Floats2d:
        """One row a window, the state of its [CLS], float32 [W, H]."""
        if callable(self.cls):
            object.__setattr__(self, "cls", self.cls())
        return cast(Floats2d, self.cls)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "cls": self.cls_states}

    def gradient(
        self, states: Floats2d | None = None, cls_states: Floats2d | None = None
    ) -> PieceStates:
        """The gradient of these states, zero for what is left out.

        Args:
            states: Of ``self.states``, float32 [N, H].
            cls_states: Of ``self.cls_states``, float32 [W, H].
        """
        xp = get_array_module(self.states)
        if states is None:
            states = xp.zeros_like(self.states)
        if cls_states is None:
            shape = (int(self.windows_per_doc.sum()), self.states.shape[1])
            cls_states = xp.zeros(shape, dtype="f")
        return PieceStates(states, cls_states, self.windows_per_doc, self.pieces)
