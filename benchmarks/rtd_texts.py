"""Texts to measure detectors on, and errors put into them; used by rtd_detection.py."""

from __future__ import annotations

import json
import lzma
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import spacy
import srsly
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_electra.pretraining.error_samplers import MOST_SLIPPED
from spacy_electra.pretraining.error_tables import (
    FUNCTION_WORDS,
    MOST_CONFUSABLE,
    Table,
    confusable_words,
    function_words,
    inflected_words,
)
from spacy_electra.pretraining.lexicon import Lexicon
from spacy_electra.pretraining.misspellings import MOST_MISSPELLED, misread, misspell
from spacy_electra.tokenization import ElectraTokenizer

FEWEST_OCCURRENCES = 5
FEWEST_WORDS = 8
# A word's stand-in is drawn from the ranks this share above and below its own.
RANK_SPREAD = 0.1
# Every so many sentences of REALEC are measured on; project/scripts splits it alike.
REALEC_TEST, REALEC_DEV, REALEC_PARTS = (1, 2), (0,), 10
REVIEWS_HELD_OUT_EVERY = 20
LONGEST_TEXT = 20_000
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """A text to judge.

    Args:
        doc: Its words.
        wrong: Which of them are, bool [n].
        judged: Which ones count, bool [n].
        originals: What stood in the place of a word, by that place, where one did.
    """

    doc: Doc
    wrong: Bools
    judged: Bools
    originals: dict[int, str] = field(default_factory=dict)


class WordSwaps:
    """Swaps words for others of like frequency.

    Args:
        counts: How often each lower-case word occurs.
        seed: Decides on places and stand-ins.
    """

    def __init__(self, counts: Counter[str], seed: int) -> None:
        self.words = [w for w, n in counts.most_common() if n >= FEWEST_OCCURRENCES]
        self.rank = {word: rank for rank, word in enumerate(self.words)}
        self.random = np.random.default_rng(seed)

    def is_known(self, text: str) -> bool:
        """Whether a token is a word that has stand-ins."""
        return text.isalpha() and text.lower() in self.rank

    def stand_in(self, text: str) -> str:
        """Another word about as frequent, capitalized alike."""
        rank = self.rank[text.lower()]
        reach = max(5, round(rank * RANK_SPREAD))
        near = self.words[max(0, rank - reach) : rank + reach + 1]
        word = str(self.random.choice([w for w in near if w != text.lower()]))
        return word.title() if text.istitle() else word

    def swap(self, doc: Doc, share: float) -> Case:
        """A Doc with stand-ins for a share of its words."""
        known = np.array([self.is_known(token.text) for token in doc])
        number = max(1, round(known.sum() * share))
        places = self.random.choice(np.flatnonzero(known), number, replace=False)
        words = [token.text for token in doc]
        for place in places.tolist():
            words[place] = self.stand_in(words[place])
        spaces = [bool(token.whitespace_) for token in doc]
        swapped = np.zeros(len(doc), dtype=bool)
        swapped[places] = True
        originals = {place: doc[place].text for place in sorted(places.tolist())}
        made = Doc(doc.vocab, words=words, spaces=spaces)
        return Case(made, swapped, known, originals)


class RealisticErrors:
    """Puts one error of a kind into a sentence, by the words alone.

    Of the kinds that pretraining has, but made of strings: the errors are the same for
    every vocabulary, and no detector has seen the misspellings.

    Args:
        counts: How often each lower-case word occurs.
        tokenizer: Any; the lists of words do not depend on it.
        seed: Decides on places and errors.
        misspellings: Those of a list, by the word that was meant, for the kind of that
            name.
    """

    def __init__(
        self,
        counts: Counter[str],
        tokenizer: ElectraTokenizer,
        seed: int,
        misspellings: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.misspellings = misspellings or {}
        known = [(w, n) for w, n in counts.most_common() if n >= FEWEST_OCCURRENCES]
        self.words = [word for word, _ in known]
        self.rank = {word: rank for rank, word in enumerate(self.words)}
        numbers = np.array([n for _, n in known], dtype=np.int64)
        pieces = [ids.tolist() for ids in tokenizer.encode_ids(self.words)]
        lexicon = Lexicon(self.words, numbers, pieces, tokenizer)
        self.tables: dict[str, Table] = {
            "confusable": confusable_words(lexicon),
            "inflection": inflected_words(lexicon),
            "function": function_words(lexicon),
        }
        self.alphabet = sorted({letter for word in self.words for letter in word})
        self.random = np.random.default_rng(seed)
        self.limits = {
            "confusable": MOST_CONFUSABLE,
            "inflection": len(self.words),
            "function": FUNCTION_WORDS,
            "typo": MOST_MISSPELLED,
            "ocr": MOST_MISSPELLED,
            "misspelling": len(self.words),
            "omission": MOST_SLIPPED,
            "doubling": MOST_SLIPPED,
        }

    def put(self, doc: Doc, kind: str) -> Case | None:
        """A sentence with an error; None where it has no word for it."""
        places = [p for p, token in enumerate(doc) if self._takes(token.text, kind)]
        if kind == "omission":
            places = [p for p in places if p + 1 < len(doc)]
        self.random.shuffle(places)
        for place in places:
            made = self._made(doc[place].text, kind)
            if made is not None:
                return self._case(doc, place, kind, made)
        return None

    def _takes(self, text: str, kind: str) -> bool:
        rank = self.rank.get(text.lower())
        if not text.isalpha() or rank is None or rank >= self.limits[kind]:
            return False
        if kind in self.tables:
            return bool(self.tables[kind].has(np.array([rank]))[0])
        if kind == "misspelling":
            return text.lower() in self.misspellings
        return kind in ("omission", "doubling") or len(text) >= 3

    def _made(self, text: str, kind: str) -> str | None:
        """What takes the place of a word."""
        lower = text.lower()
        if kind in self.tables:
            rank = np.array([self.rank[lower]])
            word = self.words[int(self.tables[kind].draw(rank, self.random)[0])]
        elif kind in ("omission", "doubling"):
            return text
        elif kind == "misspelling":
            rare = [w for w in self.misspellings[lower] if w not in self.rank]
            if not rare:
                return None
            word = rare[int(self.random.integers(len(rare)))]
        else:
            make = misspell if kind == "typo" else misread
            word = make(lower, self.alphabet, self.random)
            if word in self.rank or word == lower:
                return None
        return word.title() if text.istitle() else word

    def _case(self, doc: Doc, place: int, kind: str, made: str) -> Case:
        words = [token.text for token in doc]
        spaces = [bool(token.whitespace_) for token in doc]
        at = place
        originals = {}
        if kind == "omission":
            del words[place], spaces[place]
        elif kind == "doubling":
            words.insert(place, made)
            spaces.insert(place, True)
            at = place + 1
        else:
            originals[place] = words[place]
            words[place] = made
        wrong = np.zeros(len(words), dtype=bool)
        wrong[at] = True
        judged = np.array([word.isalpha() for word in words]) | wrong
        erroneous = Doc(doc.vocab, words=words, spaces=spaces)
        return Case(erroneous, wrong, judged, originals)


ERROR_KINDS = (
    "confusable",
    "inflection",
    "function",
    "typo",
    "ocr",
    "omission",
    "doubling",
)


def sentences_of(texts: Iterable[str], is_word: Callable[[str], bool]) -> list[Doc]:
    """Sentences of at least eight words."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    found = []
    for text in texts:
        for sentence in nlp(text[:LONGEST_TEXT]).sents:
            doc = sentence.as_doc()
            if sum(is_word(token.text) for token in doc) >= FEWEST_WORDS:
                found.append(doc)
    return found


def ewt(data: Path, part: str = "test") -> list[str]:
    """Sentences of web text that no checkpoint of this project has seen."""
    file = data / "ud_english_ewt" / f"en_ewt-ud-{part}.conllu"
    lines = file.read_text(encoding="utf8").splitlines()
    return [line[len("# text = ") :] for line in lines if line.startswith("# text = ")]


def realec(data: Path, parts: Sequence[int] = REALEC_TEST) -> list[Case]:
    """Sentences of learners with their errors; by default those for measuring."""
    vocab = Vocab()
    cases: list[Case] = []
    rows: list[list[str]] = []
    seen: set[str] = set()
    number = 0
    text = (data / "realec" / "en_realec_dev.tsv").read_text(encoding="utf8")
    for line in [*text.splitlines(), ""]:
        if line.strip():
            rows.append(line.split("\t"))
        elif rows:
            words = [row[0] for row in rows]
            is_new = " ".join(words) not in seen
            seen.add(" ".join(words))
            if is_new and number % REALEC_PARTS in parts:
                wrong = np.array([row[1] == "i" for row in rows])
                cases.append(Case(Doc(vocab, words), wrong, np.ones_like(wrong)))
            rows = []
            number += 1
    return cases


def blimp(data: Path, most: int) -> Iterator[tuple[str, str, str]]:
    """Phenomenon, right and wrong sentence; the first ``most`` pairs of a paradigm."""
    taken: Counter[str] = Counter()
    with lzma.open(data / "blimp" / "blimp.jsonl.xz", "rt", encoding="utf8") as file:
        for line in file:
            row = json.loads(line)
            taken[row["UID"]] += 1
            if taken[row["UID"]] <= most:
                term = row["linguistics_term"]
                yield term, row["sentence_good"], row["sentence_bad"]


def clean_texts(data: Path, held_out: list[str]) -> dict[str, list[str]]:
    """Texts of several domains without errors on purpose, and not for training."""
    with zipfile.ZipFile(data / "movie_reviews" / "movie_reviews.zip") as file:
        names = sorted(name for name in file.namelist() if "/cv" in name)
        reviews = [
            file.read(name).decode("utf8").replace("\n", " ")
            for name in names[::REVIEWS_HELD_OUT_EVERY]
        ]
    stories = [
        re.sub(r"(\\newline)+", " ", line.split("\t")[2])
        for line in (data / "mctest" / "mc500.dev.tsv")
        .read_text(encoding="utf8")
        .splitlines()
    ]
    squad = srsly.read_json(data / "squad_dev" / "dev-1.1.rebuilt.json")
    asked = [
        question["question"].strip()
        for article in squad["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return {
        "encyclopedia": held_out,
        "web": ewt(data),
        "stories": stories,
        "reviews": reviews,
        "questions": asked,
    }
