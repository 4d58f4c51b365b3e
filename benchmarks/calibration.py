"""What the marks of a checkpoint are worth, by domain: its table of calibration.

    python benchmarks/calibration.py HELD_OUT CORPUS --data DATA \
        --model en_small --model en_tiny

Thresholds for rates of false marks come from clean text of five domains, temperature
and bias from the same text with errors; other text of the domains tells how well both
hold. Writes "calibration.json" beside the weights of each checkpoint, and for a bundled
one the section "What a mark is worth" of its card and the picture in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import spacy
import typer
from calibration_card import ALL, RATES, Figures, draw, report, section
from calibration_texts import Texts, clean_text, with_errors
from machine import write_result
from numpy.typing import NDArray
from rtd_scorers import counted, spaces_of, words_of
from rtd_texts import Case
from sections import CARDS, write_section
from spacy.tokens import Doc
from wasabi import msg

from spacy_electra.metrics import Reliability, proportion_interval, reliability
from spacy_electra.pipeline.calibration.file import CALIBRATION, write_calibration
from spacy_electra.pipeline.calibration.fitting import (
    CleanScores,
    clean_scores,
    fingerprint,
    fit_scale,
)
from spacy_electra.pipeline.calibration.table import UNSCALED, Calibration, Scale
from spacy_electra.pretraining.corpus.documents import read_documents
from spacy_electra.source import bundled_checkpoints, resolve_source
from spacy_electra.tokenization import ElectraTokenizer

TEXT = {
    "encyclopedia": "held-out encyclopedia, novels and textbooks",
    "web": "UD English EWT, development part",
    "stories": "MCTest, 500 stories, training part",
    "reviews": "film reviews, half of those held out",
    "questions": "SQuAD 1.1 development set, questions on half of the articles",
    ALL: "as many words of each of the other domains",
}


def main(
    held_out: Path = typer.Argument(..., help="Held-out documents, .jsonl or .txt"),
    corpus: Path = typer.Argument(..., help="Text to count words in, for the errors"),
    data: Path = typer.Option(..., help="Folder of EWT, MCTest, SQuAD and reviews"),
    model: list[str] = typer.Option(
        ["en_small", "en_tiny"], help="Bundled name or folder of a checkpoint"
    ),
    words: int = typer.Option(20_000, help="Most words of a domain"),
    seed: int = typer.Option(0, help="Of places and errors"),
    result: str = typer.Option("calibration", help="Name of the JSON file"),
) -> None:
    """Measure each checkpoint in turn; write its table and its card."""
    documents = list(read_documents(held_out))
    texts, others = clean_text(data, documents)
    counts = counted(read_documents(corpus))
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))

    def erroneous(texts: Texts) -> list[Case]:
        return [
            case
            for own in texts.values()
            for case in with_errors(own, counts, tokenizer, seed, words)
        ]

    wrong, other_wrong = erroneous(texts), erroneous(others)
    figures: dict[str, Figures] = {}
    for name in model:
        scorer = Scorer(name)
        chosen = scorer.clean(texts, words)
        table, plain = scorer.table(chosen, wrong)
        folder = resolve_source(name)
        write_calibration(table, folder / CALIBRATION)
        measured = Measured(scorer.clean(others, words), *scorer.judged(other_wrong))
        figures[name] = measured.figures(table, plain)
        report(name, figures[name])
        if name in bundled_checkpoints():
            bins = [measured.bins(UNSCALED), measured.bins(table.scores or UNSCALED)]
            draw(name, *bins)
            write_section(
                CARDS / f"{name}.md",
                "calibration",
                section(name, table, figures[name]),
            )
        msg.good(f"Wrote {folder / CALIBRATION}")
    file = write_result(result, {"words": words, "seed": seed, "models": figures})
    msg.good(f"Wrote {file}")


class Scorer:
    """``electra_rtd`` over a checkpoint."""

    def __init__(self, source: str) -> None:
        self.nlp = spacy.blank("en")
        config = {"model": {"encoder": {"source": source}}}
        self.component = self.nlp.add_pipe("electra_rtd", config=config)
        self.nlp.initialize()

    def clean(self, texts: Texts, words: int) -> dict[str, CleanScores]:
        """Scores of clean text by domain, and of all domains alike."""
        scores = {
            name: clean_scores(
                self.nlp.pipe(own, batch_size=16), self.component.scores_of, words
            )
            for name, own in texts.items()
        }
        joined = np.concatenate([own.scores for own in scores.values()])
        scores[ALL] = CleanScores(joined, sum(own.words for own in scores.values()))
        return scores

    def judged(
        self, cases: list[Case]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Scores and labels of the words that count."""
        docs = (
            Doc(self.nlp.vocab, words_of(case.doc), spaces_of(case.doc))
            for case in cases
        )
        scores, labels = [], []
        for doc, case in zip(self.nlp.pipe(docs, batch_size=16), cases, strict=True):
            scores.append(self.component.scores_of(doc)[case.judged])
            labels.append(case.wrong[case.judged])
        return np.concatenate(scores), np.concatenate(labels)

    def table(
        self, clean: dict[str, CleanScores], cases: list[Case]
    ) -> tuple[Calibration, Scale]:
        """The table of the checkpoint, and a temperature without a bias."""
        table = Calibration(fingerprint(self.component.model), ALL)
        for name, own in clean.items():
            table = table.with_domain(name, own.domain(TEXT[name]))
        scores, labels = self.judged(cases)
        text = "all domains, every other sentence with one error of eight kinds"
        plain = fit_scale(scores, labels, text, with_bias=False)
        return table.with_scores(fit_scale(scores, labels, text)), plain


@dataclass(frozen=True)
class Measured:
    """What other text of the domains shows.

    Args:
        clean: Scores of clean text by domain.
        scores: Of text with errors, float64 [N].
        labels: Which words are wrong, bool [N].
    """

    clean: dict[str, CleanScores]
    scores: NDArray[np.float64]
    labels: NDArray[np.bool_]

    def figures(self, table: Calibration, plain: Scale) -> Figures:
        """How well the table holds, and what a temperature alone is worth."""
        assert table.scores is not None
        false_marks = {
            name: {f"{rate:g}": self.false_marks(table, name, rate) for rate in RATES}
            for name in self.clean
        }
        scales = {
            "as they come": UNSCALED,
            "temperature alone": plain,
            "calibrated": table.scores,
        }
        return {
            "false marks": false_marks,
            "words": len(self.labels),
            "error rate": float(self.labels.mean()),
            "scale": vars(table.scores),
            "scores": {k: self.calibration(scale) for k, scale in scales.items()},
            "found": {f"{rate:g}": self.found(table, rate) for rate in RATES},
        }

    def false_marks(self, table: Calibration, domain: str, rate: float) -> Figures:
        """Marks of clean text at the threshold for a rate."""
        own, threshold = self.clean[domain], table.threshold(rate, domain)
        low, high = proportion_interval(own.marks(threshold), own.words)
        return {
            "threshold": threshold,
            "words": own.words,
            "per 1,000": own.rate(threshold),
            "from": 1000 * low,
            "to": 1000 * high,
        }

    def found(self, table: Calibration, rate: float) -> Figures:
        """Recall and precision among text with errors."""
        marked = self.scores >= table.threshold(rate)
        hits = int((marked & self.labels).sum())
        return {
            "recall": hits / int(self.labels.sum()),
            "precision": hits / max(int(marked.sum()), 1),
        }

    def calibration(self, scale: Scale) -> Figures:
        """Expected calibration error and the mean loss."""
        scores = np.clip(scale.apply(self.scores), 1e-12, 1 - 1e-12)
        losses = np.where(self.labels, np.log(scores), np.log1p(-scores))
        error = self.bins(scale).expected_error
        return {"ECE": error, "loss": float(-losses.mean())}

    def bins(self, scale: Scale) -> Reliability:
        """Fifteen bins, as Guo et al. (2017) have them."""
        return reliability(scale.apply(self.scores), self.labels)


if __name__ == "__main__":
    typer.run(main)
