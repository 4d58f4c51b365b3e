"""The states of an encoder upstream, `spacy-electra.EncoderListener.v1`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any, cast
from weakref import WeakSet

import numpy as np
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, get_array_module
from thinc.types import Floats2d, Ints1d, Ragged

from ..errors import Errors
from ..models.pretrained import LoadReport
from ..tokenization.alignment import Pieces
from .encoder_shim import EncoderShim
from .encoding import Network, WithEncoder, docs_of, encode_texts
from .types import PieceStates, Text, TextPair

# Takes a gradient, or None where there is none for these states.
Gradient = Callable[[PieceStates | None], Any]
Batch = tuple[int, ...]


@registry.architectures("spacy-electra.EncoderListener.v1")
def make_encoder_listener(upstream: str = "*") -> EncoderListener:
    """As ``spacy-electra.Encoder.v1``, with the weights of an ``electra`` component.

    Args:
        upstream: Name of the component; "*" takes any.

    Returns:
        A model from Docs, or pairs of a Doc and a second text, to the states of the
        Docs' pieces. Gradients go back to that component, and add up with those of
        other listeners. States of pairs it computes itself, with the component's
        network: all those of an update in one call.
    """
    return EncoderListener(upstream)


class EncoderListener(WithEncoder[Sequence[Text], PieceStates]):
    """Gives what the component upstream computed for the same Docs.

    Args:
        upstream: Name of the component; "*" takes any.

    Attributes:
        upstream: Model of that component, once they are linked.
        supply: Sets the states of that component on Docs, if it is frozen; gives
            whether it did.
    """

    name = "electra-listener"

    def __init__(self, upstream: str) -> None:
        Model.__init__(self, name=self.name, forward=_forward, dims={"nO": None})
        self.upstream_name = upstream
        self.upstream: WithEncoder[Any, Any] | None = None
        self.supply: Callable[[Sequence[Doc]], bool] = _no_supply
        self._batch: Batch | None = None
        self._outputs: PieceStates | None = None
        self._backprop: Gradient | None = None

    @property
    def holder(self) -> WithEncoder[Any, Any]:
        """The model that holds the encoder.

        Raises:
            ValueError: If the listener is not linked yet.
        """
        if self.upstream is None:
            raise ValueError(Errors.SE326(upstream=self.upstream_name))
        return self.upstream

    @property
    def shim(self) -> EncoderShim:
        """What holds the encoder; see ``WithEncoder``."""
        return self.holder.shim

    @property
    def source(self) -> str:
        """Where its weights come from; see ``WithEncoder``."""
        return self.holder.source

    def load(self) -> EncoderShim:
        """The shim, with weights; see ``WithEncoder``."""
        return self.holder.load()

    def open(self, cls: type[Network]) -> tuple[Network, LoadReport]:
        """Read the source as a model; see ``WithEncoder``."""
        return self.holder.open(cls)

    def check_loaded(self) -> None:
        """Nothing: the weights are another's."""

    def forget(self) -> None:
        """Nothing: the weights are another's."""

    def calibrate(self, docs: Iterable[Doc]) -> None:
        """Nothing: the weights are another's."""

    @property
    def is_updated(self) -> bool:
        """Whether the component is being updated; otherwise it is frozen."""
        return self._batch is not None

    def receive(self, batch: Batch, outputs: PieceStates, backprop: Gradient) -> None:
        """Take the outputs for the Docs of the next update.

        Args:
            batch: What ``batch_id`` gives for them.
            outputs: Of the encoder.
            backprop: Takes their gradient, or None where this listener has none.
        """
        self._batch, self._outputs, self._backprop = batch, outputs, backprop

    def _clear(self, gradient: PieceStates | None) -> Any:
        # Holding on to them until the next batch would hold its graph too.
        backprop = self._backprop
        self._batch = self._outputs = self._backprop = None
        return backprop(gradient) if backprop is not None else None

    def _copy(self, seen: dict[int, Any] | None = None) -> EncoderListener:
        # Thinc's own would return a plain Model.
        copied = EncoderListener(self.upstream_name)
        if self.has_dim("nO"):
            copied.set_dim("nO", self.get_dim("nO"))
        return copied


def batch_id(docs: Sequence[Doc]) -> Batch:
    """Numbers that tell one batch of Docs from another, one of each Doc."""
    return tuple(hash(doc.to_array("ORTH").tobytes()) for doc in docs)


def _forward(
    model: EncoderListener, texts: Sequence[Text], is_train: bool
) -> tuple[PieceStates, Callable[[PieceStates], Any]]:
    docs = docs_of(texts)
    # A component that encodes pairs may have none in a batch.
    if any(isinstance(text, TextPair) for text in texts) or (is_train and not texts):
        return _forward_pairs(model, texts, docs, is_train)
    if is_train and model._batch is not None:
        if model._batch != batch_id(docs):
            raise ValueError(Errors.SE320(upstream=model.upstream_name))
        assert model._outputs is not None
        return model._outputs, model._clear
    is_missing = any(_data_on(doc) is None for doc in docs)
    if is_missing and is_train and not model.supply(docs):
        unlinked = model.upstream is None
        message = Errors.SE326 if unlinked else Errors.SE321
        raise ValueError(message(upstream=model.upstream_name))
    check_kept(docs)
    if is_missing and not is_train:
        width = width_of_placeholders(model.holder, model.upstream_name)
        model.set_dim("nO", width, force=True)
    states = states_on(model, docs)
    if not is_train:
        release(docs)
    return states, lambda gradient: []


def _no_supply(docs: Sequence[Doc]) -> bool:
    return False


def width_of_placeholders(upstream: WithEncoder[Any, Any], name: str) -> int:
    """The width of zeros for Docs that an encoder has not seen.

    A component gets them as it looks for its sizes, before anything has run.

    Args:
        upstream: Holds the encoder.
        name: Of its component.

    Raises:
        ValueError: If nothing is being initialized: then the states are missing.
    """
    frame: FrameType | None = sys._getframe(1)
    # `initialize` of a pipeline, a component, or a Thinc model.
    while frame is not None and frame.f_code.co_name != "initialize":
        frame = frame.f_back
    if frame is None:
        raise ValueError(Errors.SE342(upstream=name))
    config = upstream.load().config
    assert config is not None
    return config.hidden_size


def _forward_pairs(
    model: EncoderListener, texts: Sequence[Text], docs: list[Doc], is_train: bool
) -> tuple[PieceStates, Callable[[PieceStates], Any]]:
    """Run the upstream's network: its states of the Docs alone are of no use here."""
    upstream = model.holder
    if upstream.attrs.get("get_spans") is not None:
        raise ValueError(Errors.SE325())
    is_updated = is_train and model.is_updated
    if is_updated and not set(batch_id(docs)) <= set(model._batch or ()):
        raise ValueError(Errors.SE320(upstream=model.upstream_name))
    states, backprop = encode_texts(upstream, texts, is_updated)
    if not is_train:
        release(list({id(doc): doc for doc in docs}.values()))

    def backprop_pairs(gradient: PieceStates) -> Any:
        if is_updated:
            backprop(gradient)
            # The weights have their gradients. With this the upstream, which waits for
            # all its listeners, changes them.
            model._clear(None)
        return texts

    return states, backprop_pairs


# Docs whose states have gone, so that who comes late is told.
_given_back: WeakSet[Doc] = WeakSet()


def lend(docs: Sequence[Doc], readers: int) -> None:
    """Keep the states on Docs only until so many listeners have read them."""
    for doc in docs:
        _given_back.discard(doc)
        _set_readers(doc, readers)


def release(docs: Sequence[Doc]) -> None:
    """Note that a listener has read the states on Docs.

    With the last of the listeners they go, where they were lent.
    """
    for doc in docs:
        left = getattr(_data_on(doc), "readers_left", None)
        if left is not None:
            _set_readers(doc, left - 1)


def skip(encoder: Model[Any, Any], docs: Sequence[Doc]) -> None:
    """Note that a component asks its encoder nothing about Docs.

    What an encoder upstream has lent it on them can go.

    Args:
        encoder: Of the component; nothing happens if it is no listener.
        docs: Those for which it has no pair.
    """
    if isinstance(encoder, EncoderListener):
        release(docs)


def check_kept(docs: Sequence[Doc]) -> None:
    """Refuse Docs whose states have gone already.

    Raises:
        ValueError: If there is one.
    """
    for doc in docs:
        if doc in _given_back and _data_on(doc) is None:
            raise ValueError(Errors.SE327())


def _set_readers(doc: Doc, left: int) -> None:
    data = _data_on(doc)
    if data is None:
        return
    data.readers_left = left
    if left < 1:
        doc._.trf_data = None
        _given_back.add(doc)


def _data_on(doc: Doc) -> Any:
    return doc._.trf_data if Doc.has_extension("trf_data") else None


def states_on(model: EncoderListener, docs: Sequence[Doc]) -> PieceStates:
    """The states that the component upstream set on Docs, zeros where it did not.

    Raises:
        ValueError: If something else stands in ``doc._.trf_data``.
    """
    found = [_data_on(doc) for doc in docs]
    # Where they are: the device may have been chosen after the model was made.
    known = [getattr(data, "cls_states", None) for data in found]
    arrays = [states for states in known if states is not None]
    xp = get_array_module(arrays[0]) if arrays else model.ops.xp
    states, cls_states, pieces = [], [], []
    for doc, data in zip(docs, found, strict=True):
        if data is None:
            width = model.get_dim("nO")
            states.append(xp.zeros((len(doc), width), dtype="f"))
            cls_states.append(xp.zeros((1, width), dtype="f"))
            pieces.append(_placeholders(doc))
            continue
        if getattr(data, "pieces", None) is None:
            raise ValueError(Errors.SE325())
        states.append(data.model_output.last_hidden_state[0, 1:-1])
        cls_states.append(data.cls_states)
        pieces.append(data.pieces)
    nothing = xp.zeros((0, states[0].shape[1] if states else 0), dtype="f")
    return PieceStates(
        states=cast(Floats2d, xp.concatenate([nothing, *states])),
        cls=cast(Floats2d, xp.concatenate([nothing, *cls_states])),
        windows_per_doc=cast(Ints1d, np.array([len(p) for p in cls_states], "i")),
        pieces=pieces,
    )


def _placeholders(doc: Doc) -> Pieces:
    """A piece a token, as components want when they look for their widths."""
    count = len(doc)
    starts = np.array([token.idx for token in doc], dtype=np.int64)
    sizes = np.array([len(token) for token in doc], dtype=np.int64)
    alignment = Ragged(
        cast(Ints1d, np.arange(count, dtype="i")),
        cast(Ints1d, np.ones(count, dtype="i")),
    )
    ids = np.zeros(count, dtype=np.int64)
    return Pieces(ids, np.stack([starts, starts + sizes], axis=1), alignment)
