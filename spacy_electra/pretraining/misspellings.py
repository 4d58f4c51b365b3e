"""Spellings that are no words: slips of the fingers, misread letters, those of lists.

Lists are files of misspellings that people make, as codespell's and Wikipedia's are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import Errors
from .error_tables import Table
from .lexicon import Lexicon

# Of the most frequent words there are misspellings.
MOST_MISSPELLED = 20_000
ARROW = "->"
VARIANTS = {"typo": 8, "ocr": 4}
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


def read_misspellings(file: str | Path) -> dict[str, list[str]]:
    """Misspellings by the word that was meant.

    Args:
        file: One misspelling a line, an arrow, and what may have been meant, a comma
            between: ``recieve->receive``. What has a blank in it is no word and left
            out, and so is what is a word of another entry.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not UTF-8 text, or no line has such an arrow.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(Errors.SE459(path=file))
    meant: dict[str, list[str]] = {}
    for line, raw in enumerate(file.read_bytes().splitlines(), 1):
        try:
            wrong, arrow, right = raw.decode("utf8").partition(ARROW)
        except UnicodeDecodeError as error:
            raise ValueError(Errors.SE402(file=file, line=line, error=error)) from error
        words = [word for word in map(str.strip, right.split(",")) if word.isalpha()]
        if arrow and words and wrong.strip().isalpha():
            meant[wrong.strip()] = words
    if not meant:
        raise ValueError(Errors.SE460(path=file))
    found = defaultdict(list)
    for wrong, words in meant.items():
        for word in words:
            if word not in meant:
                found[word].append(wrong)
    return dict(found)


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


def variants(lexicon: Lexicon, kind: str) -> dict[int, set[str]]:
    """A few misspellings of each frequent word, by its number."""
    make = misspell if kind == "typo" else misread
    random = np.random.default_rng((_SEED, len(kind)))
    known = set(lexicon.words)
    alphabet = sorted({letter for word in lexicon.words for letter in word})
    return {
        number: {make(word, alphabet, random) for _ in range(VARIANTS[kind])} - known
        for number, word in enumerate(lexicon.words[:MOST_MISSPELLED])
        if len(word) >= _SHORTEST_MISSPELLED
    }


def listed(
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


def spelled(
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
