"""The words that a masked language model finds likeliest at places of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.tokens import Token
from torch import Tensor

from ..errors import Errors
from ..tokenization import ElectraTokenizer
from ..tokenization.alignment import Integers, Pieces, align
from .language_model import LanguageModel, Query, context


class Candidate(NamedTuple):
    """A word, and the probability that it fills a place."""

    word: str
    probability: float


@dataclass(frozen=True)
class Place:
    """A stretch of a text that a word is sought for.

    Args:
        ids: Pieces of the whole text, int64 [n].
        start: First piece of the stretch.
        end: The piece after its last.
        before: What a word of the tokenizer has to begin with there, because a piece
            reaches into what stands before the place. It is cut off.
        after: The same at its end.
    """

    ids: Integers
    start: int
    end: int
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class WordPieces:
    """What each piece of a vocabulary can be in a word.

    Args:
        strings: The characters of each piece, without the prefix of a continuation,
            object [V].
        whole: Whether it can be a word, or the beginning of one, bool [V]: the
            tokenizer gives it for its own string.
        open: Whether it is such a piece and letters may follow it inside of a word,
            bool [V]; none may follow a punctuation mark.
        inner: Whether it continues a word, bool [V].
    """

    strings: NDArray[np.object_]
    whole: NDArray[np.bool_]
    open: NDArray[np.bool_]
    inner: NDArray[np.bool_]


@lru_cache(maxsize=8)
def word_pieces(tokenizer: ElectraTokenizer) -> WordPieces:
    """What the pieces of a tokenizer can be."""
    prefix = tokenizer.wordpieces_prefix
    ordinary = np.ones(tokenizer.vocab_size, dtype=bool)
    ordinary[tokenizer.all_special_ids] = False
    inner = tokenizer.continuations & ordinary
    strings = tokenizer.strings.copy()
    strings[inner] = [string[len(prefix) :] for string in strings[inner]]
    inner &= strings.astype(bool)
    whole, opens = np.zeros_like(inner), np.zeros_like(inner)
    begins = np.flatnonzero(ordinary & ~inner)
    found = _ids_of_words(tokenizer, strings[begins].tolist())
    is_whole = [ids.tolist() == [n] for n, ids in zip(begins, found, strict=True)]
    whole[begins[is_whole]] = True
    for number in np.flatnonzero(whole):
        # "a" stands for any letter: what it is joined to is one word with it.
        opens[number] = tokenizer.takes_words or _is_one_word(
            tokenizer, strings[number] + "a"
        )
    return WordPieces(strings, whole, opens, inner)


def _ids_of_words(tokenizer: ElectraTokenizer, words: list[str]) -> list[Integers]:
    """The pieces of each word, on its own."""
    if tokenizer.takes_words:
        return [
            encoding.ids for encoding in tokenizer.encode_words([[w] for w in words])
        ]
    return tokenizer.encode_ids(words)


def _is_one_word(tokenizer: ElectraTokenizer, text: str) -> bool:
    normalized = tokenizer.normalize(text).strip()
    return len(tokenizer.backend.pre_tokenizer.pre_tokenize_str(normalized)) == 1


def places_of_tokens(
    tokens: Sequence[Token], tokenizer: ElectraTokenizer
) -> list[Place | None]:
    """Where spaCy tokens stand among the pieces of their Docs.

    A piece may span several tokens: "don" is the first piece of "do" and "n't". The
    place has the whole piece then, and its words keep the characters of the neighbours:
    those for "do" end with "n", which is cut off ("ca", "did"). What spans [MASK] and
    other special pieces, or a word that the vocabulary can't spell, is replaced whole.

    Args:
        tokens: Of any Docs; those of a Doc best stand together.
        tokenizer: Makes the pieces.

    Returns:
        One place a token; None for a token without pieces, such as white space.
    """
    docs = list({id(token.doc): token.doc for token in tokens}.values())
    aligned = {
        id(doc): (doc.text, pieces)
        for doc, pieces in zip(docs, align(docs, tokenizer), strict=True)
    }
    return [_place_of(token, *aligned[id(token.doc)], tokenizer) for token in tokens]


def _place_of(
    token: Token, text: str, pieces: Pieces, tokenizer: ElectraTokenizer
) -> Place | None:
    rows = pieces.alignment[token.i].dataXd.ravel()
    if not len(rows):
        return None
    first, last = int(rows[0]), int(rows[-1])
    special = tokenizer.all_special_ids
    before = after = ""
    if pieces.ids[first] not in special:
        before = tokenizer.normalize(text[pieces.offsets[first, 0] : token.idx])
    if pieces.ids[last] not in special:
        end = token.idx + len(token)
        after = tokenizer.normalize(text[end : pieces.offsets[last, 1]])
    return Place(pieces.ids, first, last + 1, before, after)


def masks_of(pieces: Pieces, tokenizer: ElectraTokenizer) -> list[tuple[int, Place]]:
    """The [MASK]s of a text: the index of each piece, and its place."""
    found = np.flatnonzero(pieces.ids == tokenizer.mask_token_id).tolist()
    return [(index, Place(pieces.ids, index, index + 1)) for index in found]


def find_candidates(
    model: LanguageModel,
    places: Sequence[Place | None],
    k: int,
    *,
    max_pieces: int = 1,
    beam: int = 8,
) -> list[list[Candidate]]:
    """The likeliest words at places of texts, each place on its own.

    A word is what the tokenizer makes one word of, in the pieces that it cuts it into:
    no special piece, nothing that continues the word before or is continued by the one
    after. It is spelled as the vocabulary spells it, so in lower case where the
    tokenizer lower-cases. A place inside of a word of the tokenizer ("km" in "5km", a
    token of its own for spaCy) gets what can stand inside of it.

    The probability of a word of n pieces is that of its pieces on n [MASK]s in the
    place's stead: of the last piece, times that of the one before it where the last is
    known, and so on. For one piece it is the network's own. Words of different lengths
    are compared by it as it is: each is the probability of a filling of its own length,
    and what is filled with several words takes its share of that. The mean over pieces
    (Jiang et al., 2020, "X-FACTR") would favour long words, whose pieces follow from
    each other.

    Words of one piece are all looked at, those of several are sought by a beam search.
    It begins at the end, for at the beginning the beam would fill with words that
    nothing continues; where a continuation is known, only what it continues is likely.

    Args:
        model: A masked language model.
        places: Any number; None has no candidates.
        k: Most words of each place.
        max_pieces: Most pieces of a word.
        beam: Ends of words that are kept at each step, per place.

    Returns:
        The words of each place, likeliest first; fewer than k where there are no more.

    Raises:
        ValueError: If a number is not positive, or a window has no room for so many
            pieces.
    """
    for name, value in (("k", k), ("max_pieces", max_pieces), ("beam", beam)):
        if value < 1:
            requirement = "a positive int"
            raise ValueError(
                Errors.SE003(name=name, requirement=requirement, value=value)
            )
    search = _Search(model, [place for place in places if place is not None], k, beam)
    for length in range(1, max_pieces + 1):
        search.take_words_of(length)
    found = iter(search.results())
    return [[] if place is None else next(found) for place in places]


class _End(NamedTuple):
    """The last pieces of a word, and the logarithm of their probability."""

    pieces: tuple[int, ...]
    score: float


class _Kind(NamedTuple):
    """What a piece has to be at a step of a place.

    Args:
        role: A field of ``WordPieces``.
        before: What it has to begin with.
        after: What it has to end with.
        least: Fewest characters.
    """

    role: str
    before: str
    after: str
    least: int


class _Search:
    """The best words of each place so far, best first."""

    def __init__(
        self, model: LanguageModel, places: Sequence[Place], k: int, beam: int
    ) -> None:
        self.model = model
        self.places = places
        self.k = k
        self.beam = beam
        self.vocabulary = word_pieces(model.tokenizer)
        self.best: list[list[_End]] = [[] for _ in places]
        self._columns: dict[_Kind, Integers] = {}

    def take_words_of(self, length: int) -> None:
        """Look for words of so many pieces, at all places at once."""
        beams = [[_End((), 0.0)] for _ in self.places]
        for step in range(length):
            is_last = step == length - 1
            beams = self._extended(beams, length, self.k if is_last else self.beam)
            beams = [self._promising(number, own) for number, own in enumerate(beams)]
            if not is_last:
                beams = [own[: self.beam] for own in beams]
        for number, words in enumerate(beams):
            words = self._cut_as_by_tokenizer(self.places[number], words)
            best = sorted(self.best[number] + words, key=lambda word: -word.score)
            self.best[number] = best[: self.k]

    def results(self) -> list[list[Candidate]]:
        """The words of each place."""
        return [
            [
                Candidate(self._own_part(place, word), float(np.exp(word.score)))
                for word in words
            ]
            for place, words in zip(self.places, self.best, strict=True)
        ]

    def _extended(
        self, beams: list[list[_End]], length: int, most: int
    ) -> list[list[_End]]:
        """Ends with one piece more before them: the likeliest for each."""
        owners = [number for number, own in enumerate(beams) for _ in own]
        known = [end for own in beams for end in own]
        grown: list[list[_End]] = [[] for _ in beams]
        for numbers, scores in self.model.log_probabilities(
            self._queries(beams, length)
        ):
            by_kind: dict[_Kind, list[int]] = {}
            for row, number in enumerate(numbers.tolist()):
                place = self.places[owners[number]]
                step = length - 1 - len(known[number].pieces)
                by_kind.setdefault(self._kind(place, step, length), []).append(row)
            for kind, rows in by_kind.items():
                values, pieces = self._likeliest(scores[rows], kind, most)
                for row, own_values, own_pieces in zip(
                    rows, values, pieces, strict=True
                ):
                    number = int(numbers[row])
                    after = known[number]
                    grown[owners[number]] += [
                        _End((piece, *after.pieces), after.score + value)
                        for value, piece in zip(own_values, own_pieces, strict=True)
                    ]
        return grown

    def _queries(self, beams: list[list[_End]], length: int) -> Iterator[Query]:
        mask = self.model.tokenizer.mask_token_id
        for place, own in zip(self.places, beams, strict=True):
            for end in own:
                step = length - 1 - len(end.pieces)
                filling = np.array([*[mask] * (step + 1), *end.pieces], dtype=np.int64)
                ids, positions = context(
                    self.model, place.ids, place.start, place.end, filling
                )
                yield Query(ids, positions[step : step + 1])

    def _kind(self, place: Place, step: int, length: int) -> _Kind:
        is_last = step == length - 1
        role = "inner"
        if step == 0 and not self._is_inner(place.ids, place.start):
            goes_on = not is_last or self._is_inner(place.ids, place.end)
            role = "open" if goes_on else "whole"
        before = place.before if step == 0 else ""
        after = place.after if is_last else ""
        # What is cut off must not be all there is.
        least = len(before) + len(after) + 1 if length == 1 else 0
        return _Kind(role, before, after, least)

    def _is_inner(self, ids: Integers, index: int) -> bool:
        return index < len(ids) and bool(self.vocabulary.inner[ids[index]])

    def _likeliest(
        self, scores: Tensor, kind: _Kind, most: int
    ) -> tuple[list[list[float]], list[list[int]]]:
        """The best pieces of a kind in each row [m, V], with their scores."""
        columns = self._columns_of(kind)
        # An embedding may have rows that the vocabulary lacks, and the other way round.
        columns = columns[columns < scores.shape[1]]
        own = scores[:, torch.from_numpy(columns).to(scores.device)]
        values, places = own.topk(min(most, len(columns)), dim=1)
        return values.tolist(), columns[places.cpu().numpy()].tolist()

    def _columns_of(self, kind: _Kind) -> Integers:
        if kind not in self._columns:
            allowed = getattr(self.vocabulary, kind.role)
            if kind.before or kind.after:
                fits = [
                    len(piece) >= kind.least
                    and piece.startswith(kind.before)
                    and piece.endswith(kind.after)
                    for piece in self.vocabulary.strings
                ]
                allowed = allowed & np.array(fits, dtype=bool)
            self._columns[kind] = np.flatnonzero(allowed)
        return self._columns[kind]

    def _promising(self, number: int, grown: list[_End]) -> list[_End]:
        """Those that can still come among the best of a place, best first."""
        best = self.best[number]
        # Every further piece lowers a score, so nothing good is lost.
        least = best[-1].score if len(best) == self.k else -np.inf
        grown = [end for end in grown if end.score > least]
        return sorted(grown, key=lambda end: -end.score)

    def _cut_as_by_tokenizer(self, place: Place, words: list[_End]) -> list[_End]:
        """Those that the tokenizer cuts into the same pieces ("play ##ing" is none)."""
        words = [word for word in words if self._own_part(place, word)]
        is_part = self._is_inner(place.ids, place.start) or self._is_inner(
            place.ids, place.end
        )
        if is_part or not words or len(words[0].pieces) == 1:
            return words
        spelled = [self._spelled(word) for word in words]
        found = _ids_of_words(self.model.tokenizer, spelled)
        return [
            word
            for word, ids in zip(words, found, strict=True)
            if ids.tolist() == list(word.pieces)
        ]

    def _spelled(self, word: _End) -> str:
        return "".join(self.vocabulary.strings[list(word.pieces)])

    def _own_part(self, place: Place, word: _End) -> str:
        """A word without the characters that are its neighbours'."""
        spelled = self._spelled(word)
        return spelled[len(place.before) : len(spelled) - len(place.after)]
