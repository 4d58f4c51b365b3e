"""What components set, as the plain data that JSON knows."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

import numpy as np
from spacy.tokens import Span, SpanGroup, Token


def plain(value: Any) -> Any:
    """A value as strings, numbers, lists and objects.

    Spans and tokens become their places, first character and the one after the last. A
    number that is not finite becomes null, as JSON has none.

    Raises:
        TypeError: If it has no such form.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Span):
        return span_as_plain(value)
    if isinstance(value, Token):
        return {"start": value.idx, "end": value.idx + len(value), "text": value.text}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset | SpanGroup):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [plain(item) for item in items]
    # What columns of a .parquet may hold besides.
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"a {type(value).__name__}")


def span_as_plain(span: Span, score: float | None = None) -> dict[str, Any]:
    """A Span with what it has of label, ids and score."""
    found: dict[str, Any] = {"start": span.start_char, "end": span.end_char}
    found["text"] = span.text
    for name in ("label", "kb_id", "id"):
        if named := getattr(span, f"{name}_"):
            found[name] = named
    # Some classes of Spans have a score of their own, such as answers.
    score = getattr(span, "score", None) if score is None else score
    if score is not None:
        found["score"] = plain(score)
    return found
