"""Which words take the place of which: confusable ones, forms of one stem, leads.

Everything is put into tables once; what draws from them only looks up numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .lexicon import Ints, Lexicon

# Of the most frequent words there are confusable ones.
MOST_CONFUSABLE = 25_000
FUNCTION_WORDS = 100
_CANDIDATES = 16
# What leads a word is drawn by its counts to this power.
_LEADING = 0.75
# Groups of words that are alike in a way that says nothing are larger than this.
_LARGEST_GROUP = 40
_FEWEST_STEMS = 25
_LONGEST_ENDING = 4
_SHORTEST_STEM, _LONG_STEM = 3, 5


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


def leading_words(lexicon: Lexicon) -> Table:
    """Frequent words that often stand before a word: the/a/this before house."""
    return _leading(lexicon, 0, len(lexicon))


def leading_marks(lexicon: Lexicon) -> Table:
    """Punctuation marks that stand before a word: a comma before which.

    The entries are the numbers of marks, as the lexicon has them.
    """
    marks = _leading(lexicon, len(lexicon), len(lexicon) + len(lexicon.marks))
    return Table(marks.offsets, marks.entries - len(lexicon), marks.cumulative)


def other_marks(lexicon: Lexicon) -> Table:
    """Punctuation marks among themselves, frequent ones more often."""
    often = np.bincount(
        lexicon.pairs[:, 0],
        weights=lexicon.pairs[:, 2],
        minlength=len(lexicon) + len(lexicon.marks),
    )[len(lexicon) :]
    weights = (often**_LEADING).tolist()
    rows = {
        one: {o: w for o, w in enumerate(weights) if o != one and w > 0}
        for one in range(len(weights))
    }
    return Table.of(rows, len(weights))


def _leading(lexicon: Lexicon, first: int, last: int) -> Table:
    rows: dict[int, dict[int, float]] = defaultdict(dict)
    for lead, word, number in lexicon.pairs.tolist():
        if first <= lead < last and lead != word:
            rows[word][lead] = float(number) ** _LEADING
    return Table.of(rows, len(lexicon))


TABLES: dict[str, Callable[[Lexicon], Table]] = {
    "confusable": confusable_words,
    "inflection": inflected_words,
    "function": function_words,
}
