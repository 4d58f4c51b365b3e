"""How well `electra_rtd` finds words that were swapped for words of like frequency.

No generator made this test: in held-out sentences a tenth of the words give way to
random words about as frequent, so only the context can tell.

    python benchmarks/rtd_detection.py corpus/shards/held_out.jsonl CORPUS
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import spacy
import typer
from machine import write_result
from spacy.tokens import Doc
from wasabi import msg

from spacy_electra.metrics import area_under_curve, detection
from spacy_electra.pretraining.corpus.documents import read_documents
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer

FEWEST_OCCURRENCES = 5
FEWEST_WORDS = 8
# A word's stand-in is drawn from the ranks this share above and below its own.
RANK_SPREAD = 0.1
MOST_PIECES = 3
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


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

    def swap(self, doc: Doc, share: float) -> tuple[Doc, np.ndarray, np.ndarray]:
        """A Doc with stand-ins, where they are, and which tokens are words.

        Returns:
            The Doc; bool [n] for swapped tokens; bool [n] for words.
        """
        known = np.array([self.is_known(token.text) for token in doc])
        number = max(1, round(known.sum() * share))
        places = self.random.choice(np.flatnonzero(known), number, replace=False)
        words = [token.text for token in doc]
        for place in places.tolist():
            words[place] = self.stand_in(words[place])
        spaces = [bool(token.whitespace_) for token in doc]
        swapped = np.zeros(len(doc), dtype=bool)
        swapped[places] = True
        return Doc(doc.vocab, words=words, spaces=spaces), swapped, known


def auc_by_pieces(
    probabilities: np.ndarray, truth: np.ndarray, sizes: np.ndarray
) -> list[dict[str, float]]:
    """AUC among words of one piece, of two and so on."""
    rows = []
    for size in range(1, MOST_PIECES + 1):
        own = sizes == size
        auc = area_under_curve(probabilities[own], truth[own])
        rows.append({"pieces": size, "words": int(own.sum()), "auc": auc})
    return rows


def main(
    held_out: Path = typer.Argument(..., help="Held-out documents, .jsonl or .txt"),
    corpus: Path = typer.Argument(..., help="Text to count words in"),
    model: str = typer.Option("en_tiny", help="Checkpoint, as `source`"),
    sentences: int = typer.Option(3000, help="Most sentences to test on"),
    share: float = typer.Option(0.1, help="Share of words to swap"),
    seed: int = typer.Option(0, help="Of places and stand-ins"),
) -> None:
    """Swap words, score them, print and write AUC, precision and recall."""
    tokenizing = spacy.blank("en")
    counts: Counter[str] = Counter()
    for number, text in enumerate(read_documents(corpus)):
        if number % 10 == 0:
            counts.update(w for w in text.lower().split() if w.isalpha())
    swaps = WordSwaps(counts, seed)
    tokenizing.add_pipe("sentencizer")
    tested: list[Doc] = []
    # Documents in turn, so that a novel does not fill the test.
    for text in (line[:20_000] for line in read_documents(held_out)):
        found = [s.as_doc() for s in tokenizing(text).sents]
        tested += [
            s for s in found if sum(map(swaps.is_known, map(str, s))) >= FEWEST_WORDS
        ]
    order = np.random.default_rng(seed).permutation(len(tested))[:sentences]
    cases = [swaps.swap(tested[index], share) for index in order]
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": {"source": model}}})
    docs = nlp.pipe(doc.text for doc, _, _ in cases)
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source(model))
    scores, labels, sizes = [], [], []
    for scored, (doc, swapped, known) in zip(docs, cases, strict=True):
        by_start = {t.idx: t._.rtd_score for t in scored}
        values = np.array([by_start.get(t.idx, np.nan) for t in doc])
        judged = known & ~np.isnan(values)
        scores.append(values[judged])
        labels.append(swapped[judged])
        words = [token.text for token, kept in zip(doc, judged, strict=True) if kept]
        sizes += [len(ids) for ids in tokenizer.encode_ids(words)]
    probabilities, truth = np.concatenate(scores), np.concatenate(labels)
    rows = [
        {"threshold": t, **vars(detection(probabilities, truth, t))} for t in THRESHOLDS
    ]
    msg.divider(f"Swapped words, {model}: {len(cases)} sentences, {len(truth)} words")
    shown = [[f"{value:.3f}" for value in row.values()] for row in rows]
    msg.table(shown, header=list(rows[0]), divider=True)
    by_pieces = auc_by_pieces(probabilities, truth, np.array(sizes))
    for row in by_pieces:
        msg.text("words of {pieces} pieces: {words:,}, AUC {auc:.3f}".format(**row))
    settings = {"model": model, "sentences": len(cases), "share": share, "seed": seed}
    settings |= {"words": len(truth), "auc": rows[0]["auc"]}
    settings |= {"auc_by_pieces": by_pieces}
    msg.good(f"Wrote {write_result('rtd_detection', {**settings, 'thresholds': rows})}")


if __name__ == "__main__":
    typer.run(main)
