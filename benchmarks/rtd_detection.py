"""How well `electra_rtd` and simpler ways find words that do not belong.

No generator made these tests. In held-out sentences, and in web text of which no
checkpoint here saw any, a tenth of the words give way to random words about as
frequent; sentences get one error of a kind that people or machines make; learners'
sentences have their own (REALEC); of two sentences one is the acceptable one (BLiMP);
and texts of several domains are searched for false marks.

    python benchmarks/rtd_detection.py HELD_OUT CORPUS --data DATA \
        --model en_tiny --model dictionary --model mlm:en_tiny

Without --data only the first of them. A model is a source, "dictionary" (a word that
the counts of the corpus do not know is marked) or "mlm:SOURCE" (the probability of each
word under the source's generator, the word being hidden).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import srsly
import typer
from machine import RESULTS, write_result
from rtd_scorers import (
    Discriminator,
    PseudoLikelihood,
    Scorer,
    SentenceScores,
    as_scorer,
    counted,
    shown,
    words_of,
)
from rtd_suggestions import FIRST, suggestion_figures
from rtd_texts import (
    ERROR_KINDS,
    Case,
    RealisticErrors,
    WordSwaps,
    blimp,
    clean_texts,
    ewt,
    realec,
    sentences_of,
)
from spacy.tokens import Doc
from wasabi import msg

from spacy_electra.metrics import area_under_curve, detection
from spacy_electra.pretraining.corpus.documents import read_documents
from spacy_electra.pretraining.misspellings import read_misspellings
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer

MOST_PIECES = 3
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
BUNDLED = "en_tiny"
Figures = dict[str, Any]


def main(
    held_out: Path = typer.Argument(..., help="Held-out documents, .jsonl or .txt"),
    corpus: Path = typer.Argument(..., help="Text to count words in"),
    data: Path = typer.Option(None, help="Folder of EWT, REALEC, BLiMP and others"),
    model: list[str] = typer.Option([BUNDLED], help="Source, dictionary, mlm:SOURCE"),
    sentences: int = typer.Option(3000, help="Most sentences of held-out text"),
    errors: int = typer.Option(1000, help="Sentences with an error of each kind"),
    pairs: int = typer.Option(500, help="Minimal pairs of a paradigm of BLiMP"),
    guessed_pairs: int = typer.Option(50, help="The same for pseudo-likelihood"),
    clean: int = typer.Option(500, help="Clean sentences of a domain"),
    guessed: int = typer.Option(200, help="Most texts of each kind for mlm:SOURCE"),
    suggested: int = typer.Option(500, help="Most texts with swaps for suggestions"),
    only_suggestions: bool = typer.Option(False, help="Measure nothing else"),
    misspellings: Path = typer.Option(None, help="List of them, recieve->receive"),
    share: float = typer.Option(0.1, help="Share of words to swap"),
    seed: int = typer.Option(0, help="Of places and stand-ins"),
    result: str = typer.Option("rtd_detection", help="Name of the JSON file"),
) -> None:
    """Measure each model in turn; print tables and write all figures."""
    counts = counted(read_documents(corpus))
    documents = list(read_documents(held_out))
    tests = Tests(
        {"held-out text": swaps_in(documents, counts, sentences, share, seed)}
    )
    listed = None if misspellings is None else read_misspellings(misspellings)
    if data is not None:
        tests.add(
            data, documents, counts, sentences, errors, clean, share, seed, listed
        )
        tests.pairs = list(blimp(data, pairs))
        tests.guessed_pairs = list(blimp(data, guessed_pairs))
    settings = {"share": share, "seed": seed, "pairs": pairs, "errors": errors}
    settings |= {"guessed_pairs": guessed_pairs, "clean": clean, "guessed": guessed}
    if misspellings is not None:
        settings["misspellings"] = misspellings.name
    settings |= {"sentences": {name: len(own) for name, own in tests.swaps.items()}}
    figures: dict[str, Figures] = {}
    for name in model:
        figures[name] = measured(
            name, tests, counts, guessed, suggested, only_suggestions
        )
        # What was measured before in the same way stays in the file.
        models = merged(result, settings, shown(name), figures[name])
        file = write_result(result, {**settings, "models": models})
        msg.good(f"Measured {name}: {file}")
    report(figures)


@dataclass
class Tests:
    """What there is to measure on.

    Args:
        swaps: Sentences with words swapped, by text.
        errors: Sentences with one error, by kind.
        learners: Sentences of learners.
        domains: Clean sentences, by domain.
        pairs: Phenomenon, acceptable and other sentence.
        guessed_pairs: Fewer of them, for what takes long.
    """

    swaps: dict[str, list[Case]]
    errors: dict[str, list[Case]] = field(default_factory=dict)
    learners: list[Case] = field(default_factory=list)
    domains: dict[str, list[Doc]] = field(default_factory=dict)
    pairs: list[tuple[str, str, str]] = field(default_factory=list)
    guessed_pairs: list[tuple[str, str, str]] = field(default_factory=list)

    def add(
        self,
        data: Path,
        documents: list[str],
        counts: Counter[str],
        sentences: int,
        errors: int,
        clean: int,
        share: float,
        seed: int,
        misspellings: dict[str, list[str]] | None,
    ) -> None:
        """All but the pairs, from a folder of data and the held-out documents."""
        web = ewt(data)
        self.swaps["EWT test"] = swaps_in(web, counts, sentences, share, seed)
        tokenizer = ElectraTokenizer.from_pretrained(resolve_source(BUNDLED))
        made = RealisticErrors(counts, tokenizer, seed, misspellings)
        sound = [
            doc
            for texts in (documents, web)
            for doc in take(sentences_of(texts, str.isalpha), errors * 2, seed)
        ]
        for kind in (*ERROR_KINDS, *(["misspelling"] if misspellings else [])):
            self.errors[kind] = erroneous(made, sound, kind, errors)
        self.learners = realec(data)
        for name, texts in clean_texts(data, documents).items():
            found = sentences_of(texts, str.isalpha)
            self.domains[name] = take(found, clean, seed)


def measured(
    name: str,
    tests: Tests,
    counts: Counter[str],
    guessed: int,
    suggested: int,
    only_suggestions: bool,
) -> Figures:
    """All figures of a model, or those of its suggestions."""
    scorer = as_scorer(name, counts)
    suggestions: Figures = {}
    if isinstance(scorer, Discriminator) and scorer.has_generator:
        wrong = {f"swap, {k}": cases[:suggested] for k, cases in tests.swaps.items()}
        wrong |= {k: v for k, v in tests.errors.items() if any(c.originals for c in v)}
        found = {kind: suggestion_figures(scorer, v) for kind, v in wrong.items()}
        suggestions = {"suggestions": found}
    if only_suggestions:
        return suggestions
    # All words of a text take a pass each.
    most = guessed if isinstance(scorer, PseudoLikelihood) else None
    own: Figures = {**suggestions}
    own["swaps"] = {k: judge(scorer, v[:most]) for k, v in tests.swaps.items()}
    own["errors"] = {k: judge(scorer, v[:most]) for k, v in tests.errors.items()}
    own["false marks"] = {
        k: false_marks(scorer, v[:most]) for k, v in tests.domains.items()
    }
    if tests.learners:
        own["REALEC"] = judge(scorer, tests.learners[:most])
    if isinstance(scorer, Discriminator):
        own["by pieces"] = by_pieces(scorer, tests.swaps["held-out text"])
        if tests.pairs:
            own["BLiMP"] = on_pairs(name, tests.pairs, tests.guessed_pairs)
    return own


def merged(result: str, settings: Figures, name: str, own: Figures) -> Figures:
    """Figures in the result's file with a model's own; anew if its settings differ."""
    file = RESULTS / f"{result}.json"
    before = srsly.read_json(file) if file.exists() else {}
    same = all(before.get(key) == value for key, value in settings.items())
    models = before.get("models", {}) if same else {}
    return {**models, name: {**models.get(name, {}), **own}}


def swaps_in(
    texts: Sequence[str], counts: Counter[str], most: int, share: float, seed: int
) -> list[Case]:
    """Sentences with swapped words."""
    swaps = WordSwaps(counts, seed)
    tested = sentences_of(texts, swaps.is_known)
    # Documents in turn, so that a novel does not fill the test.
    order = np.random.default_rng(seed).permutation(len(tested))[:most]
    return [swaps.swap(tested[index], share) for index in order]


def take(docs: list[Doc], most: int, seed: int) -> list[Doc]:
    """Some of the Docs, in random order."""
    order = np.random.default_rng(seed).permutation(len(docs))[:most]
    return [docs[index] for index in order]


def erroneous(
    made: RealisticErrors, docs: list[Doc], kind: str, most: int
) -> list[Case]:
    """Sentences with one error of a kind, as many of each text."""
    order = np.random.default_rng(len(kind)).permutation(len(docs))
    found = (made.put(docs[index], kind) for index in order)
    return [case for case in found if case is not None][:most]


def judge(scorer: Scorer, cases: list[Case]) -> Figures:
    """Area under the curve, and what the usual threshold gives."""
    scores, labels = scored(scorer, cases)
    at = {t: vars(detection(scores, labels, t)) for t in (scorer.threshold,)}
    figures: Figures = {"words": len(labels), **at[scorer.threshold]}
    if isinstance(scorer, Discriminator):
        figures["thresholds"] = [
            {"threshold": t, **vars(detection(scores, labels, t))} for t in THRESHOLDS
        ]
    return figures


def scored(scorer: Scorer, cases: list[Case]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of all words that count."""
    scores, labels = [], []
    values = scorer([case.doc for case in cases])
    for own, case in zip(values, cases, strict=True):
        judged = case.judged & ~np.isnan(own)
        scores.append(own[judged])
        labels.append(case.wrong[judged])
    return np.concatenate(scores), np.concatenate(labels)


def by_pieces(scorer: Discriminator, cases: list[Case]) -> list[Figures]:
    """AUC among words of one piece, of two and so on."""
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source(scorer.name))
    scores, labels = scored(scorer, cases)
    words = [
        word
        for case in cases
        for word, judged in zip(words_of(case.doc), case.judged, strict=True)
        if judged
    ]
    sizes = np.array([len(ids) for ids in tokenizer.encode_ids(words)])
    rows = []
    for size in range(1, MOST_PIECES + 1):
        own = sizes == size
        auc = area_under_curve(scores[own], labels[own])
        if not np.isnan(auc):
            rows.append({"pieces": size, "words": int(own.sum()), "auc": auc})
    return rows


def false_marks(scorer: Scorer, docs: list[Doc]) -> Figures:
    """Marks of clean text in a thousand words: words, and marked other tokens."""
    words = marks = others = 0
    for doc, own in zip(docs, scorer(docs), strict=True):
        is_word = np.array([token.is_alpha for token in doc])
        is_marked = np.nan_to_num(own, nan=-np.inf) >= scorer.threshold
        words += int(is_word.sum())
        marks += int((is_word & is_marked).sum())
        others += int((~is_word & is_marked).sum())
    thousands = max(words, 1) / 1000
    return {
        "words": words,
        "per 1,000": marks / thousands,
        "others per 1,000": others / thousands,
    }


def on_pairs(
    source: str,
    minimal: list[tuple[str, str, str]],
    guessed: list[tuple[str, str, str]],
) -> Figures:
    """Share of pairs whose acceptable sentence scores higher, by measure."""
    scores = SentenceScores(source)
    good = scores.by_discriminator([right for _, right, _ in minimal])
    bad = scores.by_discriminator([wrong for _, _, wrong in minimal])
    terms = np.array([term for term, _, _ in minimal])
    figures = {name: preferred(good[name], bad[name], terms) for name in good}
    if scores.pair.generator is not None and guessed:
        figures["pseudo-likelihood"] = preferred(
            scores.by_generator([right for _, right, _ in guessed]),
            scores.by_generator([wrong for _, _, wrong in guessed]),
            np.array([term for term, _, _ in guessed]),
        )
    return figures


def preferred(good: np.ndarray, bad: np.ndarray, terms: np.ndarray) -> Figures:
    """Accuracy in all pairs and by phenomenon; ties count half."""
    right = (good > bad) + 0.5 * (good == bad)
    rows = {term: float(right[terms == term].mean()) for term in sorted(set(terms))}
    return {"all": float(right.mean()), **rows}


def report(figures: dict[str, Figures]) -> None:
    """Print the tables, a column for each model."""
    names = list(figures)
    header = ["", *map(shown, names)]

    def table(title: str, rows: list[list[str]]) -> None:
        msg.divider(title)
        msg.table(rows, header=header, divider=True)

    report_suggestions(figures)
    own = [values for values in figures.values() if "swaps" in values]
    if not own:
        return
    for text in own[0]["swaps"]:
        rows = [
            [k, *(f"{f['swaps'][text][k]:.3f}" for f in own)]
            for k in ("auc", "precision", "recall", "f05", "base_rate")
        ]
        table(f"Swapped words, {text}: {own[0]['swaps'][text]['words']:,} words", rows)
    for name, values in figures.items():
        for row in values.get("by pieces", ()):
            pieces, words, auc = row["pieces"], row["words"], row["auc"]
            msg.text(f"{shown(name)}, {pieces} pieces: {words:,} words, AUC {auc:.3f}")
    if "REALEC" not in own[0]:
        return
    rows = [
        [kind, *(f"{f['errors'][kind]['auc']:.3f}" for f in own)]
        for kind in own[0]["errors"]
    ]
    rows.append(["REALEC", *(f"{f['REALEC']['auc']:.3f}" for f in own)])
    table("AUC by kind of error; learners' errors", rows)
    rows = [
        [kind, *(f"{f['errors'][kind]['recall']:.3f}" for f in own)]
        for kind in own[0]["errors"]
    ]
    table("Share found at the usual threshold", rows)
    rows = [
        [f"{domain}{of}", *(f"{f['false marks'][domain][key]:.1f}" for f in own)]
        for key, of in (("per 1,000", ""), ("others per 1,000", ", not words"))
        for domain in own[0]["false marks"]
    ]
    table("False marks in 1,000 words", rows)
    for name, values in figures.items():
        if "BLiMP" in values:
            measures = list(values["BLiMP"])
            msg.divider(f"BLiMP, {shown(name)}")
            rows = [
                [term, *(f"{100 * values['BLiMP'][m][term]:.1f}" for m in measures)]
                for term in values["BLiMP"][measures[0]]
            ]
            msg.table(rows, header=["", *measures], divider=True)


def report_suggestions(figures: dict[str, Figures]) -> None:
    """How often the original is among the first suggestions, a table for each model."""
    for name, values in figures.items():
        if "suggestions" not in values:
            continue
        msg.divider(f"Original among the first {FIRST}, {shown(name)}")
        ways = ("all", "of marked", "context alone")
        rows = [
            [
                kind,
                str(own["words"]),
                *(" ".join(f"{100 * own[w][str(n)]:.1f}" for n in FIRST) for w in ways),
            ]
            for kind, own in values["suggestions"].items()
        ]
        msg.table(rows, header=["", "words", *ways], divider=True)


if __name__ == "__main__":
    typer.run(main)
