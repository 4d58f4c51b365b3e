"""Scores of words in notebooks and browsers, as ``spacy.displacy`` shows entities.

``spacy.displacy.render(doc, style="span", options={"spans_key": "rtd"})`` shows marked
words, too, without scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import find_available_port, is_in_jupyter

from .errors import Errors
from .pipeline.display.page import options_from, render_page


def render(
    docs: Iterable[Doc | Span] | Doc | Span,
    *,
    nlp: Language | None = None,
    page: bool = False,
    jupyter: bool | None = None,
    options: Mapping[str, Any] | None = None,
) -> str | None:
    """Render Docs in which each word is as red as its score is high.

    Args:
        docs: One or several, scored by ``electra_rtd``.
        nlp: The pipeline that scored them, to show pieces under words and the
            threshold; not needed.
        page: Whether to make a whole page.
        jupyter: Whether to display the result in place of returning it; None does so
            in a notebook.
        options: Fields of ``PageOptions``: "title", "titles", "spans_key", ...

    Returns:
        HTML; None where it is displayed.

    Raises:
        ValueError: If an option is unknown, or what is given are no Docs.
    """
    shown = options_from(nlp, **(options or {}))
    html = render_page(_as_docs(docs), shown, page=page)
    if jupyter or (jupyter is None and is_in_jupyter()):
        notebook = import_module("IPython.display")

        # The span keeps MathJax from formulas that are none, as spaCy has it.
        wrapped = f'<span class="tex2jax_ignore">{html}</span>'
        notebook.display(notebook.HTML(wrapped))
        return None
    return html


def serve(
    docs: Iterable[Doc | Span] | Doc | Span,
    *,
    nlp: Language | None = None,
    options: Mapping[str, Any] | None = None,
    port: int = 5000,
    host: str = "127.0.0.1",
    auto_select_port: bool = False,
) -> None:
    """Serve a page with the Docs until the process is interrupted (Ctrl+C).

    Args:
        docs: As in ``render``.
        nlp: As in ``render``.
        options: As in ``render``.
        port: Where a browser finds it.
        host: Who may see it: by default this machine alone.
        auto_select_port: Whether to take another port where this one is taken.
    """
    from wsgiref.simple_server import make_server

    html = render(docs, nlp=nlp, page=True, jupyter=False, options=options)
    assert html is not None
    body = html.encode("utf8")

    def app(environ: Any, start_response: Any) -> list[bytes]:
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(body))),
        ]
        start_response("200 OK", headers)
        return [body]

    port = find_available_port(port, host, auto_select_port)
    with make_server(host, port, app) as server:
        print(f"Serving on http://{host}:{port} ... (Ctrl+C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"Shutting down server on port {port}.")


def _as_docs(docs: Iterable[Doc | Span] | Doc | Span) -> list[Doc]:
    if isinstance(docs, (Doc, Span)):
        docs = [docs]
    found = [_cut_out(doc) if isinstance(doc, Span) else doc for doc in docs]
    for doc in found:
        if not isinstance(doc, Doc):
            raise ValueError(Errors.SE544(kind=type(doc).__name__))
    return found


def _cut_out(part: Span) -> Doc:
    """A part of a Doc, with the spans inside of it, which ``as_doc`` leaves behind."""
    doc = part.as_doc(copy_user_data=True)
    for key, group in part.doc.spans.items():
        doc.spans[key] = [
            Span(doc, span.start - part.start, span.end - part.start, span.label)
            for span in group
            if part.start <= span.start and span.end <= part.end
        ]
    return doc
