"""Extension attributes of a Doc that are kept as plain data, so that they last.

Strings, numbers and lists of them in ``doc.user_data`` survive ``doc.to_bytes()``, a
``DocBin`` with ``store_user_data=True`` and ``doc.copy()``; a Span there would not.

What is read where no component has set anything is of the type that one sets, so that
code which adds, compares or sorts works on every Doc.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spacy.tokens import Doc, Span, Token
from spacy.training import Example

from ..errors import Errors

# Of a token that no component has seen: as of white space, of which nothing is known.
NO_SCORE, NO_FLAG, NO_LABEL = 0.0, False, ""


def register(attributes: Mapping[str, Mapping[str, Any]]) -> None:
    """Add extension attributes to ``Doc``, those that are not there yet.

    Args:
        attributes: By name, what ``Doc.set_extension`` takes.

    Raises:
        ValueError: If there is one of that name which is read in another way.
    """
    for name, ways in attributes.items():
        if not Doc.has_extension(name):
            Doc.set_extension(name, **ways)
        _, method, getter, setter = Doc.get_extension(name)
        if (method, getter, setter) != (None, ways.get("getter"), ways.get("setter")):
            raise ValueError(Errors.SE382(name=name))


def register_on_tokens(key: str, name: str, *, default: Any) -> None:
    """Add an extension attribute to ``Token``, if it is not there yet.

    Args:
        key: The setting that names it, for messages.
        name: Of the attribute.
        default: Of a token that has no value.

    Raises:
        ValueError: If there is one of that name that somebody computes.
    """
    if not Token.has_extension(name):
        Token.set_extension(name, default=default)
    # What is set on a token is read only where nobody computes it instead.
    _, method, getter, _ = Token.get_extension(name)
    if method is not None or getter is not None:
        raise ValueError(Errors.SE354(name=name, key=key))


def register_on_spans(key: str, name: str, *, default: Any) -> None:
    """The same for ``Span``."""
    if not Span.has_extension(name):
        Span.set_extension(name, default=default)
    _, method, getter, _ = Span.get_extension(name)
    if method is not None or getter is not None:
        raise ValueError(Errors.SE503(name=name, key=key))


def stored(doc: Doc, name: str, default: Any = ()) -> Any:
    """What an attribute holds."""
    return doc.user_data.get(_key(name), default)


def stored_list(doc: Doc, name: str) -> list[Any]:
    """What an attribute holds that is a list; an empty one where nothing was set."""
    return list(stored(doc, name))


def is_stored(doc: Doc, name: str) -> bool:
    """Whether an attribute was ever set on a Doc."""
    return _key(name) in doc.user_data


def store(doc: Doc, name: str, value: Any) -> None:
    """Set an attribute to plain data."""
    doc.user_data[_key(name)] = value


def copy_stored(source: Doc, target: Doc, name: str) -> None:
    """Set an attribute as on another Doc, if it is set there."""
    if is_stored(source, name):
        store(target, name, stored(source, name))


def same_inputs(example: Example, names: Iterable[str]) -> None:
    """Refuse an example whose two Docs are not asked the same.

    Args:
        example: Any.
        names: The attributes that a component reads beside the text.

    Raises:
        ValueError: If the Docs differ in text or in one of the attributes.
    """
    x, y = example.predicted, example.reference
    different = [f"doc._.{n}" for n in names if _plain(x, n) != _plain(y, n)]
    if x.text != y.text:
        different.append("doc.text")
    if different:
        raise ValueError(Errors.SE374(what=" and ".join(different)))


def _plain(doc: Doc, name: str) -> Any:
    # A DocBin makes tuples of lists.
    value = stored(doc, name) or ()
    return tuple(value) if isinstance(value, list) else value


def list_of_strings(name: str, values: Any) -> list[str]:
    """What was given for an attribute that holds strings.

    Raises:
        ValueError: If it is anything else.
    """
    # A string is a sequence too, of its letters.
    is_list = isinstance(values, list | tuple)
    if not is_list or not all(isinstance(value, str) for value in values):
        raise ValueError(Errors.SE372(name=name, value=values))
    return list(values)


def _key(name: str) -> Any:
    # Where spaCy itself keeps the values of extension attributes.
    return ("._.", name, None, None)
