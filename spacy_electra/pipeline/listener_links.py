"""Who listens to an `electra`, and how many of them have yet to read a Doc."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile
from typing import TYPE_CHECKING, Any, cast

from spacy.tokens import Doc
from thinc.api import Model

from ..errors import Errors
from ..layers.adapter import (
    Transformer,
    TransformerListener,
    forward_of_listener,
    install_extensions,
)
from ..layers.listener import (
    EncoderListener,
    check_kept,
    release,
    width_of_placeholders,
)
from ..layers.transformer_model import TransformerModel
from .pipeline_ref import PipelineRef

if TYPE_CHECKING:
    from .electra import Electra

Listener = TransformerListener | EncoderListener


def listeners_in(component: Any) -> list[Listener]:
    """The listeners of a component."""
    model = getattr(component, "model", None)
    nodes = model.walk() if isinstance(model, Model) else ()
    return [node for node in nodes if isinstance(node, Listener)]


def link(listener: Listener, component: Transformer, nlp: PipelineRef) -> None:
    """Have a listener know its component, and tell when it has read a Doc's states.

    Args:
        listener: Its component's name, or "*", is what it names as its upstream.
        component: Whose states it gets.
        nlp: The pipeline of both.
    """
    if isinstance(listener, EncoderListener):
        listener.upstream = cast(TransformerModel, component.model)
        listener.supply = partial(supply_if_frozen, component, nlp)
    else:
        # The only way into a class of another package.
        listener._func = partial(_listen, component, nlp)


def watch(listener: Listener, nlp: PipelineRef) -> None:
    """Have a listener that names another component say so, if there is none."""
    if listener._func is forward_of_listener:
        listener._func = partial(_listen_to_nobody, nlp)


def supply_if_frozen(
    component: Transformer, nlp: PipelineRef, docs: Sequence[Doc]
) -> bool:
    """Set states on Docs where a component is frozen; gives whether it is.

    Then training does not run it, and it need not be one that annotates.
    """
    pipeline = nlp()
    training = {} if pipeline is None else pipeline.config.get("training", {})
    if component.name not in training.get("frozen_components", ()):
        return False
    install_extensions()
    states = component.predict(docs)
    for doc, data in zip(docs, states.doc_data, strict=True):
        doc._.trf_data = data
    return True


def _listen(
    component: Transformer,
    nlp: PipelineRef,
    model: TransformerListener,
    docs: list[Doc],
    is_train: bool,
) -> Any:
    if model._batch_id is None or not is_train:
        check_kept(docs)
        if any(doc._.trf_data is None for doc in docs):
            if is_train:
                supply_if_frozen(component, nlp, docs)
            else:
                encoder = cast(TransformerModel, component.model)
                width = width_of_placeholders(encoder, component.name)
                model.set_dim("nO", width, force=True)
    outputs = forward_of_listener(model, docs, is_train)
    if not is_train:
        release(docs)
    return outputs


def _listen_to_nobody(
    nlp: PipelineRef, model: TransformerListener, docs: list[Doc], is_train: bool
) -> Any:
    pipeline = nlp()
    names = [] if pipeline is None else pipeline.component_names
    if is_train and model._batch_id is None and model.upstream_name not in names:
        raise ValueError(
            Errors.SE343(upstream=model.upstream_name, names=", ".join(names))
        )
    return forward_of_listener(model, docs, is_train)


class ReaderCount:
    """Counts the listeners that will read the states on a Doc.

    Args:
        component: Whose states those are.
        nlp: Its pipeline.
    """

    def __init__(self, component: Electra, nlp: PipelineRef) -> None:
        self.component = component
        self.nlp = nlp

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
        following = dropwhile(lambda other: other is not self.component, running)
        for component in following:
            for listener in listeners_in(component):
                if self.component.serves(listener):
                    link(listener, self.component, self.nlp)
                    readers.add(id(listener))
        return len(readers)

    def __reduce__(self) -> Any:
        # The pipeline does not go to other processes as a whole.
        return FixedReaderCount, (self.count(),)


@dataclass(frozen=True)
class FixedReaderCount:
    """The count of another process."""

    number: int

    def count(self) -> int:
        """Listeners, as they were when the pipeline went there."""
        return self.number
