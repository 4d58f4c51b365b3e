"""`electra`: one encoder for every component of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any, cast
from weakref import ref

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, get_array_module
from thinc.types import Floats2d
from torch import Tensor

from ..errors import Errors
from ..layers.adapter import (
    FullTransformerBatch,
    Transformer,
    TransformerData,
    TransformerListener,
    forward_of_listener,
    install_extensions,
    null_annotation_setter,
)
from ..layers.listener import EncoderListener, batch_id, check_kept, lend, release
from ..layers.transformer_batch import ElectraBatch
from ..layers.transformer_model import TransformerModel
from ..layers.types import PieceStates
from .batching import TOKENS_A_GROUP, annotate_in_groups

Listener = TransformerListener | EncoderListener
Setter = Callable[[list[Doc], FullTransformerBatch], None]


class Electra(Transformer):
    """One ELECTRA encoder whose states the components behind it share.

    Those listen through ``spacy-transformers.TransformerListener.v1`` or
    ``spacy-electra.EncoderListener.v1``, and train it together.

    Args:
        vocab: The pipeline's.
        model: From Docs to their states, as ``spacy-electra.TransformerModel.v1``
            makes it.
        set_extra_annotations: Called with Docs and their states once
            ``doc._.trf_data`` is set.
        name: Of the component.
        max_batch_items: Most spaCy tokens of the Docs that run at once; a longer Doc
            runs alone.
        store: Whether ``doc._.trf_data`` stays on the Doc. If not, it goes when every
            listener of the pipeline has read it, so that kept Docs stay small.
        set_tensor: Whether ``doc.tensor`` is set to the vectors of the tokens.
        nlp: The pipeline; without ``store``, its disabled components are not waited
            for.

    Raises:
        ValueError: If the model is of another architecture.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], FullTransformerBatch],
        set_extra_annotations: Setter = null_annotation_setter,
        *,
        name: str = "electra",
        max_batch_items: int = TOKENS_A_GROUP,
        store: bool = True,
        set_tensor: bool = False,
        nlp: Language | None = None,
    ) -> None:
        if not isinstance(model, TransformerModel):
            kind = type(model)
            found = f"{kind.__module__}.{kind.__qualname__}"
            raise ValueError(Errors.SE361(name=name, found=found))
        super().__init__(
            vocab,
            model,
            set_extra_annotations,
            name=name,
            max_batch_items=max_batch_items,
        )
        self.cfg["store"] = store
        self.cfg["set_tensor"] = set_tensor
        self._pending: _Update | None = None
        self._readers: _Readers | _FixedReaders = _Readers(self, nlp)

    def find_listeners(self, component: Any) -> None:
        """Serve the listeners of a component from now on."""
        for listener in self.listeners_of(component):
            self.add_listener(listener, component.name)

    def listeners_of(self, component: Any) -> list[Listener]:
        """The listeners of a component that name this one, or any."""
        model = getattr(component, "model", None)
        nodes = model.walk() if isinstance(model, Model) else ()
        names = ("*", self.name)
        return [
            node
            for node in nodes
            if isinstance(node, Listener) and node.upstream_name in names
        ]

    def add_listener(self, listener: Listener, component_name: str) -> None:
        """Serve a listener of a component from now on."""
        super().add_listener(cast(TransformerListener, listener), component_name)
        if isinstance(self._readers, _FixedReaders):
            self._readers = _Readers(self)
        _prepare(listener)
        if isinstance(listener, EncoderListener):
            listener.upstream = self.model

    def remove_listener(self, listener: Listener, component_name: str) -> bool:
        """Serve a listener no more; whether it was served."""
        if isinstance(listener, EncoderListener):
            listener.upstream = None
        return super().remove_listener(
            cast(TransformerListener, listener), component_name
        )

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Set the states of a stream of Docs.

        Args:
            stream: Any number of Docs.
            batch_size: Docs to take from it at a time.
        """
        install_extensions()
        tokens = self.cfg["max_batch_items"]
        return annotate_in_groups(self, stream, batch_size, tokens)

    def predict(self, docs: Iterable[Doc]) -> FullTransformerBatch:
        """The states of Docs, without setting them."""
        docs = list(docs)
        return self.model.predict(docs) if docs else FullTransformerBatch.empty(0)

    def set_annotations(
        self, docs: Iterable[Doc], predictions: FullTransformerBatch
    ) -> None:
        """Set what ``predict`` found."""
        docs = list(docs)
        super().set_annotations(docs, predictions)
        if self.cfg["set_tensor"]:
            for doc in docs:
                doc.tensor = cast(Any, token_vectors(doc))
        if not self.cfg["store"]:
            lend(docs, self._readers.count())

    @staticmethod
    def token_vectors(doc: Doc) -> Floats2d:
        """One vector a token; see the function ``token_vectors``."""
        return token_vectors(doc)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Compute states for the listeners, and get ready for their gradients.

        The gradients of all listeners are added up, and go back through the encoder
        once. Where some components do not train, that happens no later than the next
        update or ``finish_update``.

        Args:
            examples: Only ``predicted`` is used.
            drop: Not used; dropout is part of the checkpoint's config.
            sgd: Changes the weights once the gradients are there, where given.
            losses: Gets, under the component's name, the length (L2 norm) of the
                gradient of the states: it shrinks as the components learn.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "Electra.update")
        self._finish_pending()
        docs = [example.predicted for example in examples]
        if not self.listeners or not docs:
            return losses
        states, backprop = self.model.begin_update(docs)
        assert isinstance(states, ElectraBatch)
        pending = _Update(self, states, backprop, losses, len(self.listeners), sgd)
        self._pending = pending
        for listener in self.listeners:
            if isinstance(listener, EncoderListener):
                listener.receive(
                    batch_id(docs), states.piece_states, pending.add_pieces
                )
            else:
                batch = TransformerListener.get_batch_id(docs)
                listener.receive(batch, states.doc_data, pending.add_data)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Let the optimizer change the weights.

        ``nlp.update`` calls this before the listeners have sent anything; then it
        happens as soon as the last of them has.
        """
        if self._pending is not None and self._pending.is_untouched:
            self._pending.sgd = sgd
            return
        self._finish_pending()
        self.model.finish_update(sgd)

    def _finish_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.finish()


class _Readers:
    """Counts the listeners that will read the states on a Doc.

    Args:
        component: Whose states those are.
        nlp: Its pipeline, if known.
    """

    def __init__(self, component: Electra, nlp: Language | None = None) -> None:
        self.component = component
        self.nlp = (lambda: None) if nlp is None else ref(nlp)

    def count(self) -> int:
        """Listeners of all components but those that are disabled."""
        nlp = self.nlp()
        if nlp is None:
            return len(self.component.listeners)
        disabled = nlp.disabled
        readers = {
            id(listener)
            for name, listeners in self.component.listener_map.items()
            if name not in disabled
            for listener in listeners
        }
        # spaCy links only what is enabled when it does; the rest may be by now.
        running = [component for _, component in nlp.pipeline]
        behind = dropwhile(lambda other: other is not self.component, running)
        for component in behind:
            for listener in self.component.listeners_of(component):
                _prepare(listener)
                readers.add(id(listener))
        return len(readers)

    def __reduce__(self) -> Any:
        # The pipeline does not go to other processes as a whole.
        return _FixedReaders, (self.count(),)


@dataclass(frozen=True)
class _FixedReaders:
    """The count of another process."""

    number: int

    def count(self) -> int:
        return self.number


class _Update:
    """The gradients of one batch, until they go back through the encoder."""

    rows: Tensor | None = None

    def __init__(
        self,
        component: Electra,
        states: ElectraBatch,
        backprop: Callable[[FullTransformerBatch], list[Doc]],
        losses: dict[str, float],
        expected: int,
        sgd: Optimizer | None,
    ) -> None:
        self.component = component
        self.states = states
        self.backprop = backprop
        self.losses = losses
        self.missing = expected
        self.sgd = sgd
        self.cls_states: Tensor | None = None

    @property
    def is_untouched(self) -> bool:
        """Whether no listener has sent a gradient yet."""
        return self.rows is None

    def add_data(self, gradients: Sequence[TransformerData]) -> list[Doc]:
        """Take the gradients of a TransformerListener."""
        arrays = [part.tensors[0] for part in gradients]
        return self._add(self.states.rows_of_gradients(arrays), None)

    def add_pieces(self, gradient: PieceStates) -> list[Doc]:
        """Take the gradients of an EncoderListener."""
        return self._add(*self.states.rows_of_piece_gradient(gradient))

    def __reduce__(self) -> Any:
        # It holds a graph, which no other process can have: what goes there has no
        # gradients and will get none.
        return _Update.__new__, (_Update,)

    def _add(self, rows: Tensor, cls_states: Tensor | None) -> list[Doc]:
        self.rows = rows.clone() if self.rows is None else self.rows.add_(rows)
        if cls_states is not None:
            total = self.cls_states
            self.cls_states = (
                cls_states.clone() if total is None else total.add_(cls_states)
            )
        self.missing -= 1
        if self.missing == 0:
            self.finish()
        return list(self.states.docs)

    def finish(self) -> None:
        """Send what has come back through the encoder."""
        if self.rows is None:
            return
        component = self.component
        component._pending = None
        parts = [self.rows] if self.cls_states is None else [self.rows, self.cls_states]
        squares = sum(float(part.square().sum()) for part in parts)
        self.losses[component.name] += squares**0.5
        self.backprop(self.states.gradient(self.rows, self.cls_states))
        if self.sgd not in (None, False):
            component.model.finish_update(self.sgd)


def _prepare(listener: Listener) -> None:
    if isinstance(listener, TransformerListener):
        # The only way to learn when it has read what stands on a Doc.
        listener._func = _listen_and_release


def _listen_and_release(
    model: TransformerListener, docs: list[Doc], is_train: bool
) -> Any:
    if model._batch_id is None or not is_train:
        check_kept(docs)
    outputs = forward_of_listener(model, docs, is_train)
    if not is_train:
        release(docs)
    return outputs


def token_vectors(doc: Doc) -> Floats2d:
    """One vector a token: the mean of the states of its pieces.

    Args:
        doc: Annotated by an ``electra`` or a ``transformer`` component.

    Returns:
        float32 [tokens, H]; zeros for white space. Where ``doc._.trf_data`` is gone,
        ``doc.tensor``, if that was set.

    Raises:
        ValueError: If neither is there.
    """
    data = doc._.trf_data if Doc.has_extension("trf_data") else None
    if data is None or "last_hidden_state" not in data.model_output:
        if len(doc.tensor) == len(doc) and doc.tensor.ndim == 2:
            return cast(Floats2d, doc.tensor)
        raise ValueError(Errors.SE360())
    states = data.model_output.last_hidden_state
    xp = get_array_module(states)
    lengths = xp.asarray(data.align.lengths)
    rows = states.reshape(-1, states.shape[-1])[xp.asarray(data.align.dataXd).ravel()]
    vectors = xp.zeros((len(doc), states.shape[-1]), dtype="f")
    filled = lengths > 0
    if bool(filled.any()):
        ends = xp.cumsum(lengths)[filled]
        sums = xp.cumsum(rows.astype("d"), axis=0)[ends - 1]
        sums[1:] -= sums[:-1].copy()
        vectors[filled] = sums / lengths[filled][:, None]
    return cast(Floats2d, vectors)
