"""`electra`: one encoder for every component of a pipeline."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import Any, cast

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer

from ..errors import Errors, Warnings
from ..layers.adapter import (
    FullTransformerBatch,
    Transformer,
    TransformerListener,
    install_extensions,
    null_annotation_setter,
)
from ..layers.listener import EncoderListener, batch_id, lend
from ..layers.transformer_batch import ElectraBatch
from ..layers.transformer_model import TransformerModel
from .attributes import store
from .component import TOKENS_PER_GROUP, annotate_in_groups
from .listener_links import (
    FixedReaderCount,
    Listener,
    ReaderCount,
    link,
    listeners_in,
    watch,
)
from .pipeline_ref import PipelineRef, linking_pipeline
from .replacing import ListenerConfigs
from .token_vectors import token_vectors
from .training.shared_update import SharedUpdate

Setter = Callable[[list[Doc], FullTransformerBatch], None]


class Electra(Transformer):
    """One ELECTRA encoder whose states the components after it share.

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
        max_batch_items: int = TOKENS_PER_GROUP,
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
        self._pending: SharedUpdate | None = None
        self._nlp = PipelineRef(nlp)
        # With it spaCy could replace no listener but one at `model.tok2vec`.
        model.attrs.pop("replace_listener_cfg", None)
        self._configs = ListenerConfigs(self._nlp)
        self._readers: ReaderCount | FixedReaderCount = ReaderCount(self, self._nlp)
        # Names that it had before it was renamed are among them.
        self._names = {name}

    def serves(self, listener: Listener) -> bool:
        """Whether a listener names this component, or takes any."""
        self._names.add(self.name)
        nlp = self._nlp()
        others = set() if nlp is None else set(nlp.component_names) - {self.name}
        return listener.upstream_name in {"*", *self._names} - others

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
    ) -> None:
        """Read the weights from the encoder's source.

        Args:
            get_examples: Gives examples; "int8" looks at their texts.
            nlp: The pipeline, for its listeners.
        """
        super().initialize(get_examples, nlp=nlp)
        model = cast(TransformerModel, self.model)
        model.calibrate(example.reference for example in get_examples())

    def find_listeners(self, component: Any) -> None:
        """Serve the listeners of a component from now on."""
        self._nlp.follow(linking_pipeline())
        for listener in listeners_in(component):
            if self.serves(listener):
                self._warn_of_others(listener, component.name)
                self.add_listener(listener, component.name)
            else:
                watch(listener, self._nlp)

    def _warn_of_others(self, listener: Listener, component_name: str) -> None:
        """Warn where a listener takes any encoder and there are several."""
        nlp = self._nlp()
        if listener.upstream_name != "*" or nlp is None:
            return
        encoders = [n for n, pipe in nlp.pipeline if isinstance(pipe, Transformer)]
        before = list(takewhile(lambda name: name != self.name, encoders))
        if before:
            warnings.warn(
                Warnings.SW340(
                    component=component_name,
                    names=", ".join([*before, self.name]),
                    name=self.name,
                ),
                stacklevel=2,
            )

    def add_listener(self, listener: Listener, component_name: str) -> None:
        """Serve a listener of a component from now on."""
        super().add_listener(cast(TransformerListener, listener), component_name)
        if isinstance(self._readers, FixedReaderCount):
            self._readers = ReaderCount(self, self._nlp)
        link(listener, self, self._nlp)
        self._configs.remember(component_name)

    def remove_listener(self, listener: Listener, component_name: str) -> bool:
        """Serve a listener no more; whether it was served."""
        self._configs.mend(component_name, self.name)
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
        for doc, data in zip(docs, predictions.doc_data, strict=True):
            store(doc, "trf_data", data)
        self.set_extra_annotations(docs, predictions)
        if self.cfg["set_tensor"]:
            for doc in docs:
                doc.tensor = cast(Any, token_vectors(doc))
        if not self.cfg["store"]:
            lend(docs, self._readers.count())

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

        def send(update: SharedUpdate) -> None:
            self._pending = None
            losses[self.name] += update.norm
            # None where the listeners ran the network themselves, on pairs of texts.
            if update.rows is not None:
                backprop(update.gradient)
            if update.sgd not in (None, False):
                self.model.finish_update(update.sgd)

        pending = SharedUpdate(states, len(self.listeners), send, sgd)
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
