"""Docs in groups that a model takes at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spacy.tokens import Doc

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
