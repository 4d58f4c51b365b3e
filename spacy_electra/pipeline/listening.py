"""Who listens to an `electra`, and how many of them have yet to read a Doc."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import dropwhile
from typing import Any
from weakref import ref

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model

from ..layers.adapter import Transformer, TransformerListener, forward_of_listener
from ..layers.listener import EncoderListener, check_kept, release

Listener = TransformerListener | EncoderListener


def listeners_in(component: Any, upstream: str) -> list[Listener]:
    """The listeners of a component that name another as theirs, or take any.

    Args:
        component: Of a pipeline.
        upstream: Name of the other.
    """
    model = getattr(component, "model", None)
    nodes = model.walk() if isinstance(model, Model) else ()
    names = ("*", upstream)
    return [
        node
        for node in nodes
        if isinstance(node, Listener) and node.upstream_name in names
    ]


def prepare(listener: Listener) -> None:
    """Have a listener tell when it has read what stands on a Doc."""
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


class ReaderCount:
    """Counts the listeners that will read the states on a Doc.

    Args:
        component: Whose states those are.
        nlp: Its pipeline, if known.
    """

    def __init__(self, component: Transformer, nlp: Language | None = None) -> None:
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
            for listener in listeners_in(component, self.component.name):
                prepare(listener)
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
