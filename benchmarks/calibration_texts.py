"""Clean text of several domains, and the same with errors; used by calibration.py."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import spacy
import srsly
from rtd_scorers import spaces_of, words_of
from rtd_texts import (
    ERROR_KINDS,
    FEWEST_WORDS,
    LONGEST_TEXT,
    REVIEWS_HELD_OUT_EVERY,
    Case,
    RealisticErrors,
    WordSwaps,
)
from spacy.tokens import Doc

from spacy_electra.tokenization import ElectraTokenizer

# One sentence in so many gets an error.
ERROR_EVERY = 2
SWAP = "swap"
Texts = dict[str, list[str]]


def clean_text(data: Path, held_out: list[str]) -> tuple[Texts, Texts]:
    """Texts to choose thresholds on, and others to measure them on, by domain.

    No text of one kind is among the other. Of UD English EWT the first is the
    development part, and the second the test part.
    """
    reviews = _reviews(data)
    questions = _questions(data)
    chosen = {
        "encyclopedia": held_out[::2],
        "web": _web(data, "dev"),
        "stories": _stories(data, "train"),
        "reviews": reviews[::2],
        "questions": [text for article in questions[::2] for text in article],
    }
    measured = {
        "encyclopedia": held_out[1::2],
        "web": _web(data, "test"),
        "stories": _stories(data, "dev"),
        "reviews": reviews[1::2],
        "questions": [text for article in questions[1::2] for text in article],
    }
    return chosen, measured


def with_errors(
    texts: list[str],
    counts: Counter[str],
    tokenizer: ElectraTokenizer,
    seed: int,
    most_words: int,
) -> list[Case]:
    """Texts in which every other sentence has one error, of each kind in turn."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    swaps, errors = WordSwaps(counts, seed), RealisticErrors(counts, tokenizer, seed)
    kinds = (SWAP, *ERROR_KINDS)
    cases: list[Case] = []
    number = words = 0
    for text in texts:
        parts = []
        for sentence in nlp(text[:LONGEST_TEXT]).sents:
            doc = sentence.as_doc()
            is_word = np.array([token.is_alpha for token in doc])
            part = None
            if is_word.sum() >= FEWEST_WORDS:
                number += 1
                kind = kinds[number // ERROR_EVERY % len(kinds)]
                if number % ERROR_EVERY == 0:
                    part = _put(swaps, errors, doc, kind)
            parts.append(part or Case(doc, np.zeros_like(is_word), is_word))
        cases.append(_joined(parts))
        words += sum(int(part.judged.sum()) for part in parts)
        if words >= most_words:
            break
    return cases


def _put(swaps: WordSwaps, errors: RealisticErrors, doc: Doc, kind: str) -> Case | None:
    if kind != SWAP:
        return errors.put(doc, kind)
    if not any(swaps.is_known(token.text) for token in doc):
        return None
    case = swaps.swap(doc, 0.0)
    is_word = np.array([token.is_alpha for token in case.doc])
    return Case(case.doc, case.wrong, is_word)


def _joined(parts: list[Case]) -> Case:
    words = [word for part in parts for word in words_of(part.doc)]
    spaces = [space for part in parts for space in spaces_of(part.doc)]
    wrong, judged = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("wrong", "judged")
    )
    return Case(Doc(parts[0].doc.vocab, words, spaces), wrong, judged)


def _web(data: Path, part: str) -> list[str]:
    """Documents of web text."""
    file = data / "ud_english_ewt" / f"en_ewt-ud-{part}.conllu"
    documents: list[list[str]] = []
    for line in file.read_text(encoding="utf8").splitlines():
        if line.startswith("# newdoc"):
            documents.append([])
        elif line.startswith("# text = "):
            documents[-1].append(line.removeprefix("# text = "))
    return [" ".join(sentences) for sentences in documents]


def _stories(data: Path, part: str) -> list[str]:
    lines = (data / "mctest" / f"mc500.{part}.tsv").read_text(encoding="utf8")
    texts = (line.split("\t")[2] for line in lines.splitlines())
    return [re.sub(r"(\\newline)+", " ", text) for text in texts]


def _reviews(data: Path) -> list[str]:
    """The reviews that no checkpoint was trained on."""
    with zipfile.ZipFile(data / "movie_reviews" / "movie_reviews.zip") as file:
        names = sorted(name for name in file.namelist() if "/cv" in name)
        return [
            file.read(name).decode("utf8").replace("\n", " ")
            for name in names[::REVIEWS_HELD_OUT_EVERY]
        ]


def _questions(data: Path) -> list[list[str]]:
    """Questions by article."""
    squad = srsly.read_json(data / "squad_dev" / "dev-1.1.rebuilt.json")
    return [list(_asked(article)) for article in squad["data"]]


def _asked(article: dict[str, list[dict[str, list[dict[str, str]]]]]) -> Iterator[str]:
    for paragraph in article["paragraphs"]:
        yield from (question["question"].strip() for question in paragraph["qas"])
