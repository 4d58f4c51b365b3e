"""The form of an annotation: which attributes of a Doc are written, and how.

An annotation is an object with those members that were asked for::

    {"tokens": [{"start": 0, "end": 3, "tag": "DT", "rtd_score": 0.01}, ...],
     "ents": [{"start": 0, "end": 3, "text": "...", "label": "ORG"}, ...],
     "spans": {"rtd": [{"start": ..., "end": ..., "label": ..., "score": ...}, ...]},
     "sents": [{"start": 0, "end": 20}, ...],
     "cats": {"POSITIVE": 0.9, ...},
     "_": {"answers": [...]}}

``start`` and ``end`` are characters of the text, the end exclusive. Extension
attributes of tokens and Spans stand beside the built-in ones, those of a Doc in "_".
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span, Token

from ..errors import Errors, Warnings
from .plain import plain, span_as_plain

_PARTS = ("ents", "spans", "sents", "cats")
_OWNERS: dict[str, Any] = {"doc": Doc, "token": Token, "span": Span}
# What spaCy's components say that they assign, and other members hold already.
_TOLD_ELSEWHERE = {
    "doc.tensor",
    "token.ent_iob",
    "token.ent_type",
    "token.ent_kb_id",
    "token.is_sent_start",
}
_EXTENSION = "._."
# The key of an extension attribute in ``doc.user_data``.
_Key = tuple[str, str, int | None, int | None]


@dataclass
class Form:
    """Which attributes are written.

    Args:
        parts: Of "ents", "spans", "sents" and "cats".
        token_attributes: Built-in attributes of tokens: "tag", "head".
        extensions: Names of extension attributes, by "doc", "token" and "span".
        strict: Whether these were asked for, so that a value without a plain form is an
            error; else it is left out, and so is nothing that a component sets
            without saying so.
    """

    parts: tuple[str, ...] = ()
    token_attributes: tuple[str, ...] = ()
    extensions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    strict: bool = False
    _left_out: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, nlp: Language, wanted: Iterable[str] = ()) -> Form:
        """The form for a pipeline.

        Args:
            nlp: The pipeline.
            wanted: "doc.ents", "token.tag", "token._.rtd_score" and so on; by default
                all that components say that they assign.

        Raises:
            ValueError: If there is no such attribute.
        """
        names = list(dict.fromkeys(wanted))
        strict = bool(names)
        if not names:
            metas = [nlp.get_pipe_meta(name) for name in nlp.pipe_names]
            said = [name for meta in metas for name in meta.assigns]
            names = [name for name in said if _exists(name)]
            names = [name for name in dict.fromkeys(names) if _is_told_by(name)]
        parts, attributes = [], []
        extensions: dict[str, list[str]] = {owner: [] for owner in _OWNERS}
        for name in names:
            if not _exists(name) or (strict and not _can_be_written(name)):
                raise ValueError(Errors.SE645(name=name))
            owner, _, attribute = name.partition(".")
            if attribute.startswith("_."):
                extensions[owner].append(attribute.removeprefix("_."))
            elif owner == "token":
                attributes.append(attribute)
            elif attribute in _PARTS:
                parts.append(attribute)
        found = {owner: tuple(names) for owner, names in extensions.items()}
        return cls(tuple(parts), tuple(attributes), found, strict)

    def annotation(self, doc: Doc, known: Iterable[Any] = ()) -> dict[str, Any]:
        """The annotation of a Doc.

        Args:
            doc: After the pipeline.
            known: The keys of ``doc.user_data`` before it.

        Raises:
            ValueError: If an attribute that was asked for has no plain form.
        """
        extensions = self._all_extensions(doc, known)
        found: dict[str, Any] = {}
        if self.token_attributes or extensions["token"]:
            found["tokens"] = [self._token(token, extensions["token"]) for token in doc]
        names = extensions["span"]
        if "sents" in self.parts and doc.has_annotation("SENT_START"):
            found["sents"] = [
                {"start": sent.start_char, "end": sent.end_char} for sent in doc.sents
            ]
        if "ents" in self.parts:
            found["ents"] = [self._span(span, names) for span in doc.ents]
        if "spans" in self.parts:
            found["spans"] = {
                key: [
                    self._span(span, names, score)
                    for span, score in zip(group, _scores(group), strict=True)
                ]
                for key, group in doc.spans.items()
            }
        if "cats" in self.parts:
            found["cats"] = plain(doc.cats)
        of_doc: dict[str, Any] = {}
        self._extend(of_doc, "doc", doc, extensions["doc"], (None, None))
        return {**found, "_": of_doc} if of_doc else found

    def _token(self, token: Token, names: Iterable[str]) -> dict[str, Any]:
        found = {"start": token.idx, "end": token.idx + len(token)}
        for name in self.token_attributes:
            found[name] = _built_in(token, name)
        self._extend(found, "token", token, names, (token.idx, None))
        return found

    def _span(
        self, span: Span, names: Iterable[str], score: float | None = None
    ) -> dict[str, Any]:
        found = span_as_plain(span, score)
        place = (span.start_char, span.end_char)
        self._extend(found, "span", span, names, place)
        return found

    def _extend(
        self,
        found: dict[str, Any],
        owner: str,
        item: Any,
        names: Iterable[str],
        place: tuple[int | None, int | None],
    ) -> None:
        """Add extension attributes of a Doc, token or Span."""
        data = (item if owner == "doc" else item.doc).user_data
        for name in names:
            default, _, getter, _ = _OWNERS[owner].get_extension(name)
            # As item._.name, which makes an object for each token first.
            key = (_EXTENSION, name, *place)
            try:
                found[name] = plain(getter(item) if getter else data.get(key, default))
            except TypeError as error:
                told = f"{owner}._.{name}"
                if self.strict:
                    raise ValueError(Errors.SE646(name=told, found=error)) from error
                self._leave_out(told, error)

    def _leave_out(self, name: str, error: TypeError) -> None:
        if name not in self._left_out:
            self._left_out.add(name)
            warnings.warn(Warnings.SW640(name=name, found=error), stacklevel=2)

    def _all_extensions(
        self, doc: Doc, known: Iterable[Any]
    ) -> dict[str, tuple[str, ...]]:
        """Those that were found in advance, and those that somebody has set."""
        if self.strict:
            return self.extensions
        found = {
            owner: dict.fromkeys(names) for owner, names in self.extensions.items()
        }
        for owner, name in _new_extensions(doc, frozenset(known)):
            found[owner][name] = None
        return {owner: tuple(names) for owner, names in found.items()}


def _new_extensions(doc: Doc, known: frozenset[Any]) -> Iterator[tuple[str, str]]:
    for key in doc.user_data:
        if key in known or not isinstance(key, tuple) or key[0] != _EXTENSION:
            continue
        _, name, start, end = key
        owner = "doc" if start is None else "token" if end is None else "span"
        if _OWNERS[owner].has_extension(name):
            yield owner, name


def _exists(name: str) -> bool:
    owner, _, attribute = name.partition(".")
    if owner not in _OWNERS or not attribute:
        return False
    if attribute.startswith("_."):
        return bool(_OWNERS[owner].has_extension(attribute.removeprefix("_.")))
    return hasattr(_OWNERS[owner], attribute)


def _is_told_by(name: str) -> bool:
    """Whether a component's word that it assigns this gives a member of its own."""
    return name not in _TOLD_ELSEWHERE and _can_be_written(name)


def _can_be_written(name: str) -> bool:
    owner, _, attribute = name.partition(".")
    return (
        owner == "token" or attribute in _PARTS or attribute.startswith("_.")
    ) and not (owner == "span" and not attribute.startswith("_."))


def _built_in(token: Token, name: str) -> Any:
    """A built-in attribute: a string where there is one, of the head its number."""
    if name == "head":
        return token.head.i
    if name == "morph":
        return str(token.morph)
    try:
        value = getattr(token, f"{name}_")
    except AttributeError:
        value = getattr(token, name)
    try:
        return plain(value)
    except TypeError as error:
        raise ValueError(Errors.SE646(name=f"token.{name}", found=error)) from error


def _scores(group: Any) -> Iterable[float | None]:
    """The scores of a group's spans, where it has one for each."""
    scores = group.attrs.get("scores")
    if scores is None or len(scores) != len(group):
        return [None] * len(group)
    return [float(score) for score in scores]
