"""The words for every [MASK] in a Doc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from spacy.tokens import Doc

from ..layers.candidates import find_candidates, masks_of
from ..layers.language_model import LanguageModel
from ..tokenization.alignment import align

Masks = list[dict[str, Any]]


class Prediction(NamedTuple):
    """What is set on a Doc.

    Args:
        masks: As in ``doc._.masks``.
        log_likelihood: None where it is not asked for.
    """

    masks: Masks
    log_likelihood: float | None


def fill_masks(
    model: LanguageModel, docs: Sequence[Doc], k: int, max_pieces: int, beam: int
) -> list[Masks]:
    """The likeliest words for every [MASK] in Docs; one without any costs nothing.

    spaCy cuts "[MASK]" into tokens in its own way, mostly "[", "MASK" and "]", so a
    mask is known by its characters. Where spaCy's tokens are the words of the tokenizer
    (``words = "spacy"``), only a token that is "[MASK]" is one.

    Args:
        model: A masked language model.
        docs: Any number.
        k: As in ``find_candidates``, like what follows.
        max_pieces: As there.
        beam: As there.

    Returns:
        For each mask of each Doc, in the order of the text, plain data that lasts in a
        ``DocBin``: "start_char" and "end_char"; "start" and "end", the range of tokens
        that it touches; and "candidates", pairs of a word and its probability,
        likeliest first.
    """
    token = model.tokenizer.mask_token
    masked = [index for index, doc in enumerate(docs) if token in doc.text]
    found: list[Masks] = [[] for _ in docs]
    places = []
    aligned = align([docs[index] for index in masked], model.tokenizer)
    for index, pieces in zip(masked, aligned, strict=True):
        for piece, place in masks_of(pieces, model.tokenizer):
            start, end = pieces.offsets[piece].tolist()
            span = docs[index].char_span(start, end, alignment_mode="expand")
            assert span is not None
            places.append(place)
            found[index].append(
                {
                    "start_char": start,
                    "end_char": end,
                    "start": span.start,
                    "end": span.end,
                }
            )
    words = find_candidates(model, places, k, max_pieces=max_pieces, beam=beam)
    descriptions = [own for part in found for own in part]
    for description, own in zip(descriptions, words, strict=True):
        description["candidates"] = [tuple(candidate) for candidate in own]
    return found
