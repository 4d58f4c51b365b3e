"""Compare error detection with and without training: a table and a JSON file.

Each detector is measured at its own threshold of 0.5 and at the one with the best F0.5
on the development set, which is the fair comparison: scores of a detector that never
saw an error are an order more than probabilities of one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import spacy
import srsly
import typer
from numpy.typing import NDArray
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import require_gpu
from wasabi import msg

from spacy_electra.metrics import detection
from spacy_electra.pipeline.rtd_scorer import gold_labels

SPANS_KEY = "rtd"
DEFAULT_THRESHOLD = 0.5
Judged = tuple[NDArray[np.float64], NDArray[np.bool_]]


def main(
    pipeline: Path = typer.Argument(..., help="Trained on gold spans"),
    dev: Path = typer.Argument(..., help="To choose thresholds by"),
    test: Path = typer.Argument(..., help="To measure on"),
    metrics: Path = typer.Argument(..., help="JSON file to write"),
    source: str = typer.Option("en_tiny", help="Encoder that never saw an error"),
    lang: str = typer.Option("en", help="Language of the tokenizer"),
    gpu_id: int = typer.Option(-1, help="GPU, or -1 for the CPU"),
) -> None:
    """Measure marking everything, the untrained detector and the trained one."""
    if gpu_id >= 0:
        require_gpu(gpu_id)
    zero_shot = spacy.blank(lang)
    encoder = {"source": source}
    zero_shot.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    figures: dict[str, dict[str, float]] = {}
    for name, nlp in (
        ("zero-shot", zero_shot),
        ("supervised", spacy.load(pipeline)),
    ):
        on_dev, on_test = judge(nlp, dev), judge(nlp, test)
        best = best_threshold(*on_dev)
        figures[name] = figures_at(on_test, DEFAULT_THRESHOLD)
        figures[f"{name}, threshold of dev"] = figures_at(on_test, best)
        labels = on_test[1]
    figures["every word marked"] = figures_at((np.ones(len(labels)), labels), 0.5)
    srsly.write_json(metrics, figures)
    columns = ("threshold", "precision", "recall", "f05", "auc")
    rows = [
        (name, *(f"{values[column]:.3f}" for column in columns))
        for name, values in figures.items()
    ]
    msg.table(rows, header=("Detector", *columns), divider=True)


def judge(nlp: spacy.Language, file: Path) -> Judged:
    """Probability and gold label of every token that spaCy makes of the text."""
    gold = list(DocBin().from_disk(file).get_docs(nlp.vocab))
    scores, labels = [], []
    for predicted, reference in zip(
        nlp.pipe(doc.text for doc in gold), gold, strict=True
    ):
        labels.append(gold_labels(Example(predicted, reference), SPANS_KEY))
        scores.append([token._.rtd_score for token in predicted])
    return np.concatenate(scores), np.concatenate(labels)


def best_threshold(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """The score from which marking gives the best F0.5."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(labels[order])
    marked = np.arange(1, len(order) + 1)
    # F0.5 = 1.25 tp / (marked + 0.25 positives).
    f05 = 1.25 * found / (marked + 0.25 * labels.sum())
    # A threshold marks all words of the same score.
    last_of_its_score = np.append(np.diff(scores[order]) != 0, True)
    best = int(np.argmax(np.where(last_of_its_score, f05, -1.0)))
    return float(scores[order][best])


def figures_at(judged: Judged, threshold: float) -> dict[str, float]:
    """The figures of a detector at a threshold."""
    return {"threshold": threshold, **vars(detection(*judged, threshold))}


if __name__ == "__main__":
    typer.run(main)
