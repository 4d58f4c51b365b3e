"""Corpora of `spacy train` in forms that spaCy has no reader for."""

from .text import TextCorpus

__all__ = ["TextCorpus"]
