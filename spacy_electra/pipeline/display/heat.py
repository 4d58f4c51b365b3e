"""Scores of words as colours."""

from __future__ import annotations

# Words below this score stay plain: a page full of faint colours shows nothing.
FAINTEST = 0.15
_WHITE, _RED = (255, 255, 255), (228, 61, 48)


def heat_colour(score: float) -> str:
    """White for 0, red for 1, a mixture in between, as "#rrggbb"."""
    share = min(max(score, 0.0), 1.0)
    mixed = (
        round(cold + share * (hot - cold))
        for cold, hot in zip(_WHITE, _RED, strict=True)
    )
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
