"""From text to pieces: WordPiece, alignment to tokens, windows over long texts."""

from .wordpiece import ElectraTokenizer

__all__ = ["ElectraTokenizer"]
