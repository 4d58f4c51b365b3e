"""Docs in groups that a model takes at once, and a component's run over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.util import minibatch

# Docs are run in groups of so many spaCy tokens: enough to sort windows by length, few
# enough for the states of their pieces to stay small.
TOKENS_A_GROUP = 32_768


def groups_by_length(docs: Sequence[Doc], tokens: int) -> Iterator[list[Doc]]:
    """Docs in their order, in groups of at most ``tokens`` or of one Doc."""
    group: list[Doc] = []
    room = tokens
    for doc in docs:
        if group and len(doc) > room:
            yield group
            group, room = [], tokens
        group.append(doc)
        room -= len(doc)
    if group:
        yield group


def annotate_in_groups(
    component: TrainablePipe, stream: Iterable[Doc], batch_size: int, tokens: int
) -> Iterator[Doc]:
    """Predict and set, group by group; what the ``pipe`` of a component does.

    Args:
        component: Its error handler gets the whole group where a Doc of it fails.
        stream: Any number of Docs.
        batch_size: Docs to take from it at a time.
        tokens: Most spaCy tokens of a group; a longer Doc is one of its own.

    Yields:
        The Docs in their order, but for those of groups that failed.
    """
    for docs in minibatch(stream, batch_size):
        for group in groups_by_length(docs, tokens):
            try:
                component.set_annotations(group, component.predict(group))
            except Exception as error:
                handle = component.get_error_handler()
                handle(component.name, component, group, error)
            else:
                yield from group
