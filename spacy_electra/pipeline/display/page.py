"""Texts with the scores of their words as HTML: for a page, and for a notebook."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from html import escape
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span

from ...errors import Errors
from ...source import ASSETS
from ...tokenization import ElectraTokenizer
from ...tokenization.alignment import align
from ..calibration.fitting import is_word
from ..rtd import ElectraRTD
from .heat import FAINTEST

_FILES = ASSETS / "page"
_TITLE = "Words that do not belong"
_PAGE = """\
<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; padding: 1.5rem 1rem 10rem; background: #ffffff; color: #1d1d1f; }}
body > main {{ margin: 0 auto; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #17171a; color: #f2f2f4; }}
}}
</style>
</head>
<body>
{body}
</body>
</html>
"""
_FOUND, _MISTAKEN, _MISSED = "✓", "✗", "○"

Pieces = Callable[[Doc], list[list[str]]]


@dataclass(frozen=True)
class PageOptions:
    """What a page shows beside the scores.

    Args:
        title: Its heading.
        titles: A heading for each Doc.
        note: A sentence below the heading.
        spans_key: Where the marked words are, in ``doc.spans``.
        score_attribute: Name of the extension attribute with the scores.
        suggestion_attribute: Name of that of spans with words that would fit.
        threshold: From which words are marked, for the legend.
        pieces: Gives the pieces of each token of a Doc.
        planted: For each Doc, what stood in the place of a word that was put in, by
            where that begins (a character); None where nobody put any in.
    """

    title: str = _TITLE
    titles: Sequence[str] = ()
    note: str = ""
    spans_key: str = "rtd"
    score_attribute: str = "rtd_score"
    suggestion_attribute: str = "suggestions"
    threshold: float | None = None
    pieces: Pieces | None = None
    planted: Sequence[Mapping[int, str]] | None = None


def render_page(
    docs: Sequence[Doc], options: PageOptions | None = None, *, page: bool = True
) -> str:
    """Render Docs as HTML in which each word is as red as its score is high.

    Marked words are underlined; on hover and on focus (Tab) they show their score,
    their pieces, and suggestions where there are any. Nothing is loaded from anywhere.

    Args:
        docs: Scored by ``electra_rtd``.
        options: What to show beside.
        page: Whether to make a whole page, not only its body.
    """
    options = options or PageOptions()
    parts = [_Article(doc, number, options) for number, doc in enumerate(docs)]
    tag = "main" if page else "div"
    body = "\n".join(
        [
            f'<{tag} class="electra">',
            f"<style>\n{_file('page.css')}</style>",
            f"<h1>{escape(options.title)}</h1>" if page or options.title else "",
            f'<p class="summary">{escape(_summary(parts, options))}</p>',
            _legend(options),
            *(part.html() for part in parts),
            f"<script>\n{_file('page.js')}</script>",
            f"</{tag}>",
        ]
    )
    if not page:
        return body
    lang = escape(docs[0].lang_) if docs else ""
    return _PAGE.format(lang=lang, title=escape(options.title), body=body)


def options_from(nlp: Language | None = None, **given: Any) -> PageOptions:
    """Options for what a pipeline scores.

    Args:
        nlp: Its ``electra_rtd`` has the names of attributes, the threshold and the
            tokenizer; None where these are as usual, or of no interest.
        given: Options, which have precedence.

    Raises:
        ValueError: If there is no such option.
    """
    names = [option.name for option in fields(PageOptions)]
    for name in given:
        if name not in names:
            raise ValueError(Errors.SE543(name=name, choices=", ".join(names)))
    if nlp is None:
        return PageOptions(**given)
    for _, component in nlp.pipeline:
        if isinstance(component, ElectraRTD):
            tokenizer = component.model.encoder.load().tokenizer
            assert tokenizer is not None
            own = {
                "spans_key": component.cfg["spans_key"],
                "score_attribute": component.cfg["score_attribute"],
                "suggestion_attribute": component.cfg["suggestion_attribute"],
                "threshold": component.mark_threshold,
                "pieces": pieces_by(tokenizer),
            }
            return PageOptions(**{**own, **given})
    raise ValueError(Errors.SE540(source="The pipeline", found="none"))


def pieces_by(tokenizer: ElectraTokenizer) -> Pieces:
    """What gives the pieces of the tokens of a Doc."""

    def pieces(doc: Doc) -> list[list[str]]:
        (own,) = align([doc], tokenizer)
        names = tokenizer.convert_ids_to_tokens(own.ids.tolist())
        rows = own.alignment.dataXd.ravel().tolist()
        found, start = [], 0
        for length in own.alignment.lengths.tolist():
            found.append([names[row] for row in rows[start : start + length]])
            start += length
        return found

    return pieces


@cache
def _file(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf8")


def _summary(parts: Sequence[_Article], options: PageOptions) -> str:
    words = sum(part.words for part in parts)
    marks = sum(len(part.marks) for part in parts)
    texts = "1 text" if len(parts) == 1 else f"{len(parts):,} texts"
    rate = f", {1000 * marks / words:.1f} per 1,000 words" if words else ""
    counts = f"{texts}, {words:,} words, {marks:,} marked{rate}."
    return f"{options.note} {counts}".strip()


def _legend(options: PageOptions) -> str:
    level = "" if options.threshold is None else f" (from {options.threshold:.2f})"
    entries = [
        '<span class="scale">0 <span class="bar"></span> 1</span> '
        "<span>score: the higher, the less a word belongs</span>",
        f'<span><mark style="--heat: 0.8">word</mark> marked{level}</span>',
    ]
    if options.planted is not None:
        entries += [
            f"<span>{_FOUND} put in, and marked</span>",
            f"<span>{_MISTAKEN} marked, though it belongs</span>",
            f'<span><span class="missed">{_MISSED} word</span> put in, not marked'
            "</span>",
        ]
    if options.pieces is not None:
        entries.append(
            '<label><input type="checkbox" class="show-pieces" checked> pieces under '
            "words of several</label>"
        )
    return f'<div class="legend">{"".join(entries)}</div>'


@dataclass
class _Article:
    """A Doc on the page."""

    doc: Doc
    number: int
    options: PageOptions
    marks: list[Span] = field(init=False)
    words: int = field(init=False)

    def __post_init__(self) -> None:
        self.marks = []
        self.words = sum(map(is_word, self.doc))
        group = self.doc.spans.get(self.options.spans_key, ())
        for span in sorted(group, key=lambda span: (span.start, -span.end)):
            # Of spans that overlap, the first is shown.
            if not self.marks or span.start >= self.marks[-1].end:
                self.marks.append(span)
        self.scores = [
            token._.get(self.options.score_attribute) or 0.0 for token in self.doc
        ]
        give = self.options.pieces
        self.pieces = give(self.doc) if give else [[] for _ in self.doc]
        planted = self.options.planted
        self.planted = planted[self.number] if planted is not None else None
        # Pages may stand beside each other in a notebook.
        key = f"{self.number} {self.doc.text}".encode()
        self.key = f"electra-{hashlib.sha1(key, usedforsecurity=False).hexdigest()[:8]}"

    def html(self) -> str:
        """The article."""
        at = {span.start: span for span in self.marks}
        parts, place = [], 0
        while place < len(self.doc):
            span = at.get(place)
            if span is not None:
                parts.append(self._mark(span))
                place = span.end
            elif self.doc[place].idx in (self.planted or {}):
                parts.append(self._missed(place))
                place += 1
            else:
                parts.append(self._word(place))
                place += 1
            parts.append(escape(self.doc[place - 1].whitespace_))
        titles = self.options.titles
        title = f"<h2>{escape(titles[self.number])}</h2>" if titles else ""
        system = self.doc.vocab.writing_system
        direction = escape(str(system.get("direction", "ltr")))
        text = f'<div class="text" dir="{direction}">{"".join(parts)}</div>'
        return f"<article>{title}{text}</article>"

    def _word(self, place: int) -> str:
        word, score = self._with_pieces(place), self.scores[place]
        if score < FAINTEST:
            return word
        return (
            f'<span class="warm" {self._heat(score)} title="{score:.2f}">{word}</span>'
        )

    def _mark(self, span: Span) -> str:
        score = max(self.scores[span.start : span.end])
        sign, note = "", ""
        if self.planted is not None:
            originals = [self.planted.get(token.idx) for token in span]
            original = next((word for word in originals if word is not None), None)
            sign = _MISTAKEN if original is None else _FOUND
            note = "belongs" if original is None else f"put in for “{original}”"
        words = "".join(
            self._with_pieces(token.i)
            + (escape(token.whitespace_) if token.i + 1 < span.end else "")
            for token in span
        )
        state = f"marked, {note}" if note else "marked"
        tip = self._tip(span, score, state)
        return self._focusable("mark", "", span.start, score, sign, words, tip)

    def _missed(self, place: int) -> str:
        score = self.scores[place]
        original = (self.planted or {})[self.doc[place].idx]
        state = f"not marked, put in for “{original}”"
        tip = self._tip(self.doc[place : place + 1], score, state)
        word = self._with_pieces(place)
        return self._focusable(
            "span", ' class="missed"', place, score, _MISSED, word, tip
        )

    def _focusable(
        self,
        tag: str,
        attributes: str,
        place: int,
        score: float,
        sign: str,
        words: str,
        tip: str,
    ) -> str:
        name = f"{self.key}-{place}"
        shown = f'<span class="sign" aria-hidden="true">{sign}</span>' if sign else ""
        return (
            f'<{tag}{attributes} tabindex="0" aria-describedby="{name}" '
            f"{self._heat(score)}>{shown}{words}"
            f'<span class="tip" role="tooltip" id="{name}">{tip}</span></{tag}>'
        )

    def _tip(self, span: Span, score: float, state: str) -> str:
        lines = [f"<b>{escape(span.text)}</b>", f"score {score:.2f}, {escape(state)}"]
        pieces = [piece for row in self.pieces[span.start : span.end] for piece in row]
        if pieces:
            lines.append(f"pieces <code>{escape(' '.join(pieces))}</code>")
        lines += [
            f"{'fits:' if number == 0 else ''} {escape(word)}"
            for number, word in enumerate(self._suggested(span))
        ]
        return "".join(f"<span>{line}</span>" for line in lines)

    def _suggested(self, span: Span) -> list[str]:
        """Words that would fit, as text."""
        name = self.options.suggestion_attribute
        found = span._.get(name) if Span.has_extension(name) else None
        return [_as_text(suggestion) for suggestion in found or ()]

    def _with_pieces(self, place: int) -> str:
        word, pieces = escape(self.doc[place].text), self.pieces[place]
        if len(pieces) < 2:
            return word
        below = escape(" ".join(pieces))
        return f'<ruby>{word}<rt aria-hidden="true">{below}</rt></ruby>'

    @staticmethod
    def _heat(score: float) -> str:
        return f'style="--heat: {score:.2f}"'


def _as_text(suggestion: str | tuple[str, float]) -> str:
    """A suggestion, and its probability if it has one."""
    if isinstance(suggestion, str):
        return suggestion
    word, probability = suggestion
    return f"{word} ({probability:.0%})"
