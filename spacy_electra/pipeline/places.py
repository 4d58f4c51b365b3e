"""Where components set what they find, so that none overwrites another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from spacy.language import Language
from spacy.pipeline import SpanCategorizer, TextCategorizer

from ..errors import Errors, listed
from .pipeline_ref import PipelineRef

Component = TypeVar("Component")
# A place such as "doc.spans['rtd']", and the setting that names it; "" where none does.
Places = Mapping[str, str]


def places_of(component: Any) -> Places:
    """Where a component of ours, or one of spaCy's of the same kind, sets things.

    Entities are not among them, as all who set ``doc.ents`` keep those of others.
    """
    if isinstance(component, SpanCategorizer):
        return {span_group(component.key): "spans_key"}
    if isinstance(component, TextCategorizer):
        return dict.fromkeys(map(category, component.labels), "")
    found = getattr(component, "places", None)
    return found if isinstance(found, Mapping) else {}


def span_group(key: str) -> str:
    """The place of a group of spans."""
    return f"doc.spans[{key!r}]"


def category(label: str) -> str:
    """The place of a category of the text."""
    return f"doc.cats[{label!r}]"


def joined(nlp: Language, component: Component) -> Component:
    """A component that is to join a pipeline, and knows which.

    Raises:
        ValueError: As ``check_places``.
    """
    check_places(nlp, component)
    component.pipeline = PipelineRef(nlp)  # type: ignore[attr-defined]
    return component


def check_places(nlp: Language, component: Any) -> None:
    """Refuse a component of a pipeline, or one that is to join it.

    Raises:
        ValueError: If it and another one would set the same, so that what the first
            one found would be lost.
    """
    own = places_of(component)
    for name, other in nlp.components:
        shared = [] if other is component else sorted(set(own) & set(places_of(other)))
        if shared:
            settings = sorted({own[place] for place in shared} - {""})
            advice = (
                f"Set {' and '.join(settings)} of one of them to names of its own"
                if settings
                else "Leave one of them out, or run them in two pipelines"
            )
            raise ValueError(
                Errors.SE457(
                    name=getattr(component, "name", ""),
                    other=name,
                    places=listed(shared),
                    advice=advice,
                )
            )
