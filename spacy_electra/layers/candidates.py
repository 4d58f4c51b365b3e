"""The words that a masked language model finds likeliest at places of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from .spelling import Floats, Words

# Gives the logarithms of the weights of words, float64 [n]; of those that are no
# candidates -inf.
Weigh = Callable[[Words], Floats]


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
    return _found(model, places, None, k, max_pieces, beam)


def weighed_candidates(
    model: LanguageModel,
    places: Sequence[Place | None],
    weigh: Sequence[Weigh],
    k: int,
    *,
    max_pieces: int = 1,
    beam: int = 8,
) -> list[list[Candidate]]:
    """The words whose probability times their weight is highest at places of texts.

    Args:
        model: As in ``find_candidates``, like the other arguments.
        places: Any number; None has no candidates.
        weigh: What words weigh at each place: a noisy channel, for instance.
        k: Most words of each place.
        max_pieces: Most pieces of a word.
        beam: Ends of words that are kept at each step, per place.

    Returns:
        The words of each place, best first. Probabilities are the shares of the
        products, among all words of one piece and those of several that were found.

    Raises:
        ValueError: As ``find_candidates``.
    """
    return _found(model, places, weigh, k, max_pieces, beam)


def _found(
    model: LanguageModel,
    places: Sequence[Place | None],
    weigh: Sequence[Weigh] | None,
    k: int,
    max_pieces: int,
    beam: int,
) -> list[list[Candidate]]:
    for name, value in (("k", k), ("max_pieces", max_pieces), ("beam", beam)):
        if value < 1:
            requirement = "a positive int"
            raise ValueError(
                Errors.SE003(name=name, requirement=requirement, value=value)
            )
    asked = [number for number, place in enumerate(places) if place is not None]
    search = _Search(
        model,
        [place for place in places if place is not None],
        k,
        beam,
        None if weigh is None else [weigh[number] for number in asked],
    )
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
        self,
        model: LanguageModel,
        places: Sequence[Place],
        k: int,
        beam: int,
        weigh: Sequence[Weigh] | None,
    ) -> None:
        self.model = model
        self.places = places
        self.k = k
        self.beam = beam
        self.vocabulary = word_pieces(model.tokenizer)
        self.best: list[list[_End]] = [[] for _ in places]
        self.weigh = weigh
        # Logarithms of what probabilities are divided by.
        self.totals = np.full(len(places), 0.0 if weigh is None else -np.inf)
        # Pieces that the network gives probabilities of.
        self.width = 0
        self._columns: dict[_Kind, Integers] = {}
        self._words: dict[_Kind, Words] = {}

    def take_words_of(self, length: int) -> None:
        """Look for words of so many pieces, at all places at once."""
        beams = [[_End((), 0.0)] for _ in self.places]
        for step in range(length):
            is_last = step == length - 1
            most = self.k if is_last else self.beam
            if self.weigh is not None and length > 1:
                # Weights may bring up words from further below.
                most = max(self.k, self.beam)
            beams = self._extended(beams, length, most)
            beams = [self._promising(number, own) for number, own in enumerate(beams)]
            if not is_last:
                beams = [own[: self.beam] for own in beams]
        for number, words in enumerate(beams):
            words = self._cut_as_by_tokenizer(self.places[number], words)
            if length > 1:
                words = self._weighed(number, words)
            best = sorted(self.best[number] + words, key=lambda word: -word.score)
            self.best[number] = best[: self.k]

    def results(self) -> list[list[Candidate]]:
        """The words of each place."""
        return [
            [
                Candidate(
                    self._own_part(place, word), float(np.exp(word.score - total))
                )
                for word in words
            ]
            for place, words, total in zip(
                self.places, self.best, self.totals, strict=True
            )
        ]

    def _weighed(self, number: int, words: list[_End]) -> list[_End]:
        """Words of several pieces with their weights; those that have one."""
        if self.weigh is None or not words:
            return words
        own = [self._own_part(self.places[number], word) for word in words]
        weights = self.weigh[number](Words.of(own)).tolist()
        found = [
            _End(word.pieces, word.score + weight)
            for word, weight in zip(words, weights, strict=True)
            if weight > -np.inf
        ]
        scores = [self.totals[number], *(word.score for word in found)]
        self.totals[number] = np.logaddexp.reduce(scores)
        return found

    def _weights(self, numbers: list[int], kind: _Kind) -> Tensor:
        """Of words of one piece at some places, float [places, columns]."""
        assert self.weigh is not None
        if kind not in self._words:
            strings = self.vocabulary.strings[self._columns_of(kind)]
            begin, end = len(kind.before), len(kind.after)
            own = [string[begin : len(string) - end] for string in strings]
            self._words[kind] = Words.of(own)
        rows = [self.weigh[number](self._words[kind]) for number in numbers]
        return torch.from_numpy(np.stack(rows)).float()

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
            self.width = scores.shape[1]
            by_kind: dict[_Kind, list[int]] = {}
            for row, number in enumerate(numbers.tolist()):
                place = self.places[owners[number]]
                step = length - 1 - len(known[number].pieces)
                by_kind.setdefault(self._kind(place, step, length), []).append(row)
            for kind, rows in by_kind.items():
                places = [owners[int(numbers[row])] for row in rows]
                own = self._own_columns(scores[rows], kind, places, length)
                values, pieces = self._likeliest(own, kind, most)
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

    def _own_columns(
        self, scores: Tensor, kind: _Kind, places: list[int], length: int
    ) -> Tensor:
        """Of scores [m, V] those of a kind; of words of one piece with weights."""
        columns = torch.from_numpy(self._columns_of(kind)).to(scores.device)
        own = scores[:, columns]
        if self.weigh is not None and length == 1:
            own = own + self._weights(places, kind).to(own.device)
            self.totals[places] = own.logsumexp(1).tolist()
        return own

    def _likeliest(
        self, own: Tensor, kind: _Kind, most: int
    ) -> tuple[list[list[float]], list[list[int]]]:
        """The best pieces of a kind in each row [m, columns], with their scores."""
        columns = self._columns_of(kind)
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
            # An embedding may lack rows that the vocabulary has.
            self._columns[kind] = np.flatnonzero(allowed[: self.width])
        return self._columns[kind]

    def _promising(self, number: int, grown: list[_End]) -> list[_End]:
        """Those that can still come among the best of a place, best first."""
        best = self.best[number]
        # Every further piece lowers a score, so nothing good is lost.
        is_full = len(best) == self.k and self.weigh is None
        least = best[-1].score if is_full else -np.inf
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
