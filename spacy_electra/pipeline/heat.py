"""Scores of words as colours, for pages and terminals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from spacy import displacy
from spacy.tokens import Doc

# Words below this score stay plain: a page full of faint colours shows nothing.
FAINTEST = 0.15
_WHITE, _RED = (255, 255, 255), (228, 61, 48)
# A word and its score below each other, so that the text still reads as a text.
_ENTITY = (
    '<mark style="background: {bg}; padding: 0.15em 0.25em; border-radius: 0.25em" '
    'title="{label}">{text}<sub style="font-size: 0.6em; opacity: 0.7">{label}</sub>'
    "</mark>"
)


def heat_colour(score: float) -> str:
    """White for 0, red for 1, a mixture in between, as "#rrggbb"."""
    share = min(max(score, 0.0), 1.0)
    mixed = (
        round(cold + share * (hot - cold))
        for cold, hot in zip(_WHITE, _RED, strict=True)
    )
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def render_heat(
    docs: Iterable[Doc],
    *,
    score_attribute: str = "rtd_score",
    titles: Sequence[str] | None = None,
    page: bool = True,
) -> str:
    """Render Docs as HTML in which each word is as red as its score is high.

    Args:
        docs: Scored by ``electra_rtd``.
        score_attribute: Name of the extension attribute with the scores.
        titles: A heading for each Doc.
        page: Whether to make a whole page, not only its body.

    Returns:
        HTML, made by displaCy.
    """
    parsed = []
    colours: dict[str, str] = {}
    for number, doc in enumerate(docs):
        entities = []
        for token in doc:
            score = token._.get(score_attribute) or 0.0
            if score >= FAINTEST:
                # displaCy colours by label, and upper-cases what it looks up.
                label = f"{score:.2f}"
                colours[label] = heat_colour(score)
                start, end = token.idx, token.idx + len(token)
                entities.append({"start": start, "end": end, "label": label})
        title = escape(titles[number]) if titles else None
        parsed.append({"text": doc.text, "ents": entities, "title": title})
    options = {"colors": colours, "template": _ENTITY}
    html: str = displacy.render(
        parsed, style="ent", manual=True, page=page, options=options, jupyter=False
    )
    return html
