"""Errors that people and machines make, by name: what takes the place of a word.

They work on whole words of a batch and not, as the samplers of ``sampler.py``, at
masked pieces: a misspelling has other pieces than the word, and more of them; a word
that was left out has none. So a batch is rebuilt, and the labels with it. Everything
that needs text (which words are alike, what a misspelling looks like, how it is cut
into pieces) is put into tables once; a step only looks up numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from ..models import PackedBatch
from .lexicon import PART_OF_A_WORD, Ints, Lexicon, Words, ranges

# Of the most frequent words there are misspellings, and confusable ones among them.
MOST_MISSPELLED = 20_000
MOST_CONFUSABLE = 25_000
FUNCTION_WORDS = 100
# Words that people leave out or repeat without noticing, by their rank.
MOST_SLIPPED = 200
# Standard deviation of the logarithm of the factor by which a word's rank moves.
_SPREAD = 0.5
_CANDIDATES = 16
# Words that are put where none belongs are frequent ones: the power of their counts.
_NEEDLESS = 0.75
_VARIANTS = {"typo": 8, "ocr": 4}
# Groups of words that are alike in a way that says nothing are larger than this.
_LARGEST_GROUP = 40
_FEWEST_STEMS = 25
_LONGEST_ENDING = 4
_SHORTEST_STEM, _LONG_STEM = 3, 5
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_LOOK_ALIKE = (
    ("rn", "m"),
    ("m", "rn"),
    ("cl", "d"),
    ("d", "cl"),
    ("li", "h"),
    ("h", "li"),
    ("vv", "w"),
    ("w", "vv"),
    ("nn", "rm"),
    ("in", "m"),
    ("l", "1"),
    ("i", "1"),
    ("i", "l"),
    ("l", "i"),
    ("o", "0"),
    ("s", "5"),
    ("b", "6"),
    ("b", "h"),
    ("h", "b"),
    ("e", "c"),
    ("c", "e"),
    ("u", "n"),
    ("n", "u"),
    ("a", "o"),
    ("t", "f"),
    ("f", "t"),
    ("g", "q"),
    ("y", "v"),
)
_SEED = 20_111
_SHORTEST_MISSPELLED = 3
# Times that a word is more frequent than its misspellings are.
_RARE = 50


@dataclass(frozen=True)
class Table:
    """Candidates for each word.

    Args:
        offsets: The candidates of word i are offsets[i] to offsets[i + 1], int64
            [N + 1].
        entries: Numbers of entries, int64 [C].
        cumulative: Their weights, added up over all, float64 [C + 1].
    """

    offsets: Ints
    entries: Ints
    cumulative: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Mapping[int, Mapping[int, float]], words: int) -> Table:
        """From weights by candidate by word."""
        sizes = [len(rows.get(number, ())) for number in range(words)]
        chosen = [rows[number] for number in range(words) if number in rows]
        entries = [entry for row in chosen for entry in row]
        weights = [weight for row in chosen for weight in row.values()]
        return cls(
            np.cumsum([0, *sizes], dtype=np.int64),
            np.array(entries, dtype=np.int64),
            np.cumsum([0.0, *weights]),
        )

    def has(self, words: Ints) -> NDArray[np.bool_]:
        """Which words have a candidate, bool [n]."""
        return self.offsets[words + 1] > self.offsets[words]

    def draw(self, words: Ints, random: np.random.Generator) -> Ints:
        """An entry for each of some words that have one, int64 [n]."""
        first = self.cumulative[self.offsets[words]]
        last = self.cumulative[self.offsets[words + 1]]
        target = first + random.random(len(words)) * (last - first)
        places = np.searchsorted(self.cumulative, target, side="right") - 1
        # Rounding must not lead to a neighbour's candidates.
        places = places.clip(self.offsets[words], self.offsets[words + 1] - 1)
        return self.entries[places]


@dataclass(frozen=True)
class Changed:
    """A batch with errors in it.

    Args:
        batch: The batch; its sequences keep their order but not their lengths.
        labels: Whether a piece is an error, bool [T].
        rows: Pieces that stand in the place of one of the original, int64 [M].
        originals: What stood there, int64 [M].
        kinds: Number of the kind of error, in the order of the weights, -1 where there
            is none, int64 [T].
    """

    batch: PackedBatch
    labels: torch.Tensor
    rows: torch.Tensor
    originals: torch.Tensor
    kinds: torch.Tensor


class ErrorMixture:
    """Puts errors of several kinds into a batch.

    Of each sequence a share of the words is wrong, drawn between 0 and
    ``largest_share``, so that the discriminator sees clean text too. A word of which
    there is no error of the kind drawn gets one of another kind.

    All pieces of a wrong word are labelled. For a word that was left out the one after
    it is; of a doubled word the second one; of two words in the wrong order both.

    Args:
        lexicon: Words of the corpus.
        weights: How often each kind occurs beside the others, by name: of ``KINDS``.
        largest_share: Of the words of a sequence.
        misspellings: For the kind "misspelling", those of each word.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        weights: Mapping[str, float],
        largest_share: float,
        misspellings: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.lexicon = lexicon
        self.kinds = tuple(weights)
        self.weights = np.array([weights[kind] for kind in self.kinds])
        self.largest_share = largest_share
        pieces = list(lexicon.pieces)
        self.tables: dict[str, Table] = {}
        for kind in self.kinds:
            if kind in _TABLES:
                self.tables[kind] = _TABLES[kind](lexicon)
            elif kind in _VARIANTS:
                made = _variants(lexicon, kind)
                self.tables[kind] = _spelled(lexicon, made, pieces)
            elif kind == "misspelling":
                made = _listed(lexicon, misspellings or {})
                self.tables[kind] = _spelled(lexicon, made, pieces)
        self.entry_sizes = np.array([len(ids) for ids in pieces], dtype=np.int64)
        self.entry_starts = np.cumsum(self.entry_sizes) - self.entry_sizes
        self.entry_pieces = np.array(
            [piece for ids in pieces for piece in ids], dtype=np.int64
        )
        frequent = lexicon.counts[:FUNCTION_WORDS] ** _NEEDLESS
        self.needless = np.cumsum(frequent) / max(frequent.sum(), 1.0)

    def __call__(self, batch: PackedBatch, random: torch.Generator) -> Changed:
        """Put errors into a batch.

        Args:
            batch: On the CPU.
            random: Decides; its state alone determines the outcome.
        """
        seed = int(torch.randint(2**62, (), generator=random))
        draws = np.random.default_rng(seed)
        ids = batch.input_ids.numpy()
        lengths = np.array(batch.lengths, dtype=np.int64)
        words = self.lexicon.find(ids)
        sequence = np.repeat(np.arange(len(lengths)), lengths)[words.starts]
        shares = draws.random(len(lengths)) * self.largest_share
        chosen = draws.random(len(words.starts)) < shares[sequence]
        places = np.flatnonzero(chosen & (words.known >= 0))
        kind = np.full(len(words.starts), -1, dtype=np.int64)
        kind[places] = self._draw_kinds(words.known, places, draws)
        parts = self._parts(words, kind, draws)
        return self._rebuilt(ids, words.starts, sequence, parts)

    def _draw_kinds(
        self, known: Ints, places: Ints, draws: np.random.Generator
    ) -> Ints:
        """A kind of error for each place that can have one, else -1, int64 [n]."""
        own = known[places]
        possible = np.ones((len(places), len(self.kinds)), dtype=bool)
        for column, kind in enumerate(self.kinds):
            if kind in self.tables:
                possible[:, column] = self.tables[kind].has(own)
            elif kind in ("omission", "doubling"):
                possible[:, column] = own < MOST_SLIPPED
            if kind in ("omission", "order"):
                # The word that is marked for it has to be there, and right.
                after = np.minimum(places + 1, len(known) - 1)
                free = (known[after] != PART_OF_A_WORD) & ~np.isin(after, places)
                possible[:, column] &= free
            if kind == "order":
                possible[:, column] &= (known[after] >= 0) & (known[after] != own)
        cumulative = np.cumsum(possible * self.weights, axis=1)
        target = draws.random(len(places)) * cumulative[:, -1]
        kinds = (cumulative <= target[:, None]).sum(axis=1)
        return np.where(cumulative[:, -1] > 0, kinds, -1)

    def _parts(self, words: Words, kind: Ints, draws: np.random.Generator) -> _Parts:
        """What the new batch is put together from, one part a word, or two."""
        starts, new_sizes, mark = words.starts.copy(), words.sizes.copy(), kind.copy()
        # Entries come after the pieces of the batch.
        base = int(words.sizes.sum())
        twice = np.zeros(len(starts), dtype=bool)
        needless = order = np.zeros(0, dtype=np.int64)
        for number, name in enumerate(self.kinds):
            places = np.flatnonzero(kind == number)
            if name in ("doubling", "insertion"):
                twice[places] = True
                mark[places] = -1
                needless = places if name == "insertion" else needless
            elif name == "order":
                mark[places + 1] = number
                order = places
            elif name == "omission":
                new_sizes[places] = 0
                mark[places] = -1
                mark[places + 1] = number
            else:
                entries = self._draw_entries(name, words.known[places], draws)
                starts[places] = base + self.entry_starts[entries]
                new_sizes[places] = self.entry_sizes[entries]
        word = np.repeat(np.arange(len(starts)), 1 + twice)
        second = np.zeros(len(word), dtype=bool)
        second[1:] = word[1:] == word[:-1]
        marks = mark[word]
        marks[second] = kind[word[second]]
        # Where a word gave way to one of as many pieces, what stood there is known.
        same = (mark == kind) & (kind >= 0) & (new_sizes == words.sizes)
        same[order] = False
        starts, new_sizes = starts[word], new_sizes[word]
        # The word that is too many stands before the one that belongs.
        extra = np.searchsorted(word, needless)
        entries = np.searchsorted(self.needless, draws.random(len(extra)))
        starts[extra] = base + self.entry_starts[entries]
        new_sizes[extra] = self.entry_sizes[entries]
        marks[extra], marks[extra + 1] = marks[extra + 1], -1
        at = np.arange(len(word))
        early = np.searchsorted(word, order)
        at[early], at[early + 1] = early + 1, early
        return _Parts(word[at], starts[at], new_sizes[at], marks[at], same[word[at]])

    def _draw_entries(self, kind: str, words: Ints, draws: np.random.Generator) -> Ints:
        if kind in self.tables:
            return self.tables[kind].draw(words, draws)
        # Moves along the order of frequency; the constant lets the first ones move.
        factor = np.exp(draws.standard_normal(len(words)) * _SPREAD)
        moved = np.rint((words + 10) * factor - 10).astype(np.int64)
        moved = moved.clip(0, len(self.lexicon) - 1)
        aside = np.where(words + 1 < len(self.lexicon), words + 1, words - 1)
        return np.where(moved == words, aside, moved)

    def _rebuilt(
        self, ids: Ints, first: Ints, sequence: Ints, parts: _Parts
    ) -> Changed:
        pool = np.concatenate([ids, self.entry_pieces])
        taken = pool[ranges(parts.starts, parts.sizes)]
        kinds = np.repeat(parts.marks, parts.sizes)
        lengths = np.bincount(sequence[parts.words], weights=parts.sizes)
        lengths = lengths.astype(np.int64)
        # The original pieces of words that are replaced one for one.
        rows = np.flatnonzero(np.repeat(parts.same, parts.sizes))
        originals = ids[ranges(first[parts.words[parts.same]], parts.sizes[parts.same])]
        positions = ranges(np.zeros(len(lengths), dtype=np.int64), lengths)
        new = torch.from_numpy(taken)
        batch = PackedBatch(
            input_ids=new,
            token_type_ids=torch.zeros_like(new),
            position_ids=torch.from_numpy(positions),
            lengths=lengths.tolist(),
        )
        return Changed(
            batch=batch,
            labels=torch.from_numpy(kinds >= 0),
            rows=torch.from_numpy(rows),
            originals=torch.from_numpy(originals),
            kinds=torch.from_numpy(kinds),
        )


@dataclass(frozen=True)
class _Parts:
    """Parts of a new batch, in order.

    Args:
        words: The word that each comes from, int64 [P].
        starts: Where its pieces begin, in the batch or after it, int64 [P].
        sizes: How many there are, int64 [P].
        marks: Kind of error, -1 for none, int64 [P].
        same: Whether it takes the place of as many other pieces, bool [P].
    """

    words: Ints
    starts: Ints
    sizes: Ints
    marks: Ints
    same: NDArray[np.bool_]


def confusable_words(lexicon: Lexicon) -> Table:
    """Words that look or sound nearly alike: story/store, except/accept.

    Two words are alike that become one where a letter of each, or of one, is left
    out: so are those at edit distance 1, those with two letters exchanged and many
    homophones (their/there, whether/weather). Of words of six letters and more two may
    be left out, for a smaller weight.
    """
    words = lexicon.words[:MOST_CONFUSABLE]
    rows: dict[int, dict[int, float]] = defaultdict(dict)
    for deleted, weight in ((1, 1.0), (2, 0.2)):
        groups: dict[str, set[int]] = defaultdict(set)
        for number, word in enumerate(words):
            if len(word) < 3 * deleted:
                continue
            groups[word].add(number)
            for places in combinations(range(len(word)), deleted):
                kept = (c for i, c in enumerate(word) if i not in places)
                groups["".join(kept)].add(number)
        for group in groups.values():
            if not 1 < len(group) <= _LARGEST_GROUP:
                continue
            for one, other in combinations(sorted(group), 2):
                rows[one].setdefault(other, weight)
                rows[other].setdefault(one, weight)
    return _best(lexicon, rows)


def inflected_words(lexicon: Lexicon) -> Table:
    """Words of one stem: go/goes, child/children.

    Two words are of one stem where their endings alternate in many other words as
    well, or where one is a word of five letters and more with a short ending.
    """
    by_stem: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for number, word in enumerate(lexicon.words):
        for size in range(min(_LONGEST_ENDING, len(word) - 2) + 1):
            stem = word[: len(word) - size]
            by_stem[stem].append((word[len(stem) :], number))
    alternations: Counter[tuple[str, str]] = Counter()
    for stem, forms in by_stem.items():
        if len(stem) >= _SHORTEST_STEM:
            alternations.update(combinations(sorted(e for e, _ in forms), 2))
    rows: dict[int, dict[int, float]] = defaultdict(dict)
    for stem, forms in by_stem.items():
        for (ending, one), (other_ending, other) in combinations(sorted(forms), 2):
            # The stem has all letters that the two share.
            if ending[:1] == other_ending[:1]:
                continue
            often = alternations[ending, other_ending]
            # A short stem is one only with the most usual endings, a long one with any
            # ending that is added to it.
            fewest = _FEWEST_STEMS
            if len(stem) < _SHORTEST_STEM:
                fewest *= 20
            elif not ending and len(stem) >= _LONG_STEM:
                fewest = 0
            if often < fewest:
                continue
            weight = max(float(often), 1.0) ** 0.5
            rows[one][other] = weight
            rows[other][one] = weight
    return _best(lexicon, rows)


def function_words(lexicon: Lexicon) -> Table:
    """The most frequent words among themselves: in/on/at, a/the, is/are."""
    number = min(FUNCTION_WORDS, len(lexicon))
    weights = lexicon.counts[:number] ** 0.5
    rows = {
        one: {other: float(weights[other]) for other in range(number) if other != one}
        for one in range(number)
    }
    return Table.of(rows, len(lexicon))


def _best(lexicon: Lexicon, rows: Mapping[int, Mapping[int, float]]) -> Table:
    """The candidates of the largest weight; frequent ones weigh a little more."""
    chosen = {}
    for number, row in rows.items():
        weighted = {
            other: weight * float(lexicon.counts[other]) ** 0.25
            for other, weight in row.items()
        }
        best = sorted(weighted, key=lambda other: (-weighted[other], other))
        chosen[number] = {other: weighted[other] for other in best[:_CANDIDATES]}
    return Table.of(chosen, len(lexicon))


def misspell(word: str, alphabet: Sequence[str], random: np.random.Generator) -> str:
    """A slip of the fingers: a letter left out, doubled, exchanged or another one."""
    place = int(random.integers(len(word)))
    kind = random.random()
    before, letter, after = word[:place], word[place], word[place + 1 :]
    if kind < 0.3:
        return before + after
    if kind < 0.45:
        return before + letter + letter + after
    if kind < 0.7:
        return before + after[:1] + letter + after[1:]
    other = _near(letter, alphabet, random)
    return before + other + after if kind < 0.85 else before + other + letter + after


def _near(letter: str, alphabet: Sequence[str], random: np.random.Generator) -> str:
    """A letter that lies beside another on the keyboard; any, where it lies on none."""
    for row in _KEYBOARD:
        at = row.find(letter)
        if at >= 0:
            near = row[max(at - 1, 0) : at] + row[at + 1 : at + 2]
            return near[int(random.integers(len(near)))]
    return alphabet[int(random.integers(len(alphabet)))]


def misread(word: str, alphabet: Sequence[str], random: np.random.Generator) -> str:
    """What character recognition makes of a word: letters that look alike."""
    found = [
        (place, old, new)
        for old, new in _LOOK_ALIKE
        for place in range(len(word))
        if word.startswith(old, place)
    ]
    if not found:
        return word
    place, old, new = found[int(random.integers(len(found)))]
    return word[:place] + new + word[place + len(old) :]


def _variants(lexicon: Lexicon, kind: str) -> dict[int, set[str]]:
    """A few misspellings of each frequent word, by its number."""
    make = misspell if kind == "typo" else misread
    random = np.random.default_rng((_SEED, len(kind)))
    known = set(lexicon.words)
    alphabet = sorted({letter for word in lexicon.words for letter in word})
    return {
        number: {make(word, alphabet, random) for _ in range(_VARIANTS[kind])} - known
        for number, word in enumerate(lexicon.words[:MOST_MISSPELLED])
        if len(word) >= _SHORTEST_MISSPELLED
    }


def _listed(
    lexicon: Lexicon, misspellings: Mapping[str, Sequence[str]]
) -> dict[int, set[str]]:
    """Of the words of a list those that the corpus has, by number.

    A misspelling that the corpus has too is one only where it is rare beside the word.
    """
    numbers = {word: number for number, word in enumerate(lexicon.words)}

    def is_rare(wrong: str, right: int) -> bool:
        number = numbers.get(wrong)
        most = lexicon.counts[right] / _RARE
        return number is None or bool(lexicon.counts[number] <= most)

    return {
        number: {wrong for wrong in misspellings[word] if is_rare(wrong, number)}
        for word, number in numbers.items()
        if word in misspellings
    }


def _spelled(
    lexicon: Lexicon, made: Mapping[int, set[str]], pieces: list[list[int]]
) -> Table:
    """A table of them; adds their pieces to ``pieces``."""
    texts = [(text, owner) for owner, own in made.items() for text in sorted(own)]
    encoded = lexicon.tokenizer.encode_ids([text for text, _ in texts])
    rows: dict[int, dict[int, float]] = defaultdict(dict)
    for (_, owner), ids in zip(texts, encoded, strict=True):
        if len(ids):
            rows[owner][len(pieces)] = 1.0
            pieces.append(ids.tolist())
    return Table.of(rows, len(lexicon))


_TABLES: dict[str, Callable[[Lexicon], Table]] = {
    "confusable": confusable_words,
    "inflection": inflected_words,
    "function": function_words,
}
# Words of like frequency, and what can be done to a word itself.
KINDS = (
    "word",
    *_TABLES,
    *_VARIANTS,
    "misspelling",
    "omission",
    "doubling",
    "insertion",
    "order",
)
