"""Compare error detection with and without training: a table and a JSON file.

Each detector is measured at its own threshold of 0.5 and at the one with the best F0.5
on the development set, which is the fair comparison: scores of a detector that never
saw an error are an order more than probabilities of one.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import srsly
import typer
from numpy.typing import NDArray
from spacy.scorer import PRFScore
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import require_gpu
from wasabi import msg

from spacy_electra.metrics import detection, f_score
from spacy_electra.pipeline.scorers.rtd import gold_labels

SPANS_KEY = "rtd"
DEFAULT_THRESHOLD = 0.5
COLUMNS = ("threshold", "precision", "recall", "f05", "auc", "span_f05")
Metrics = dict[str, float]
# Scores and labels, an array for each text.
Judged = tuple[list[NDArray[np.float64]], list[NDArray[np.bool_]]]


def main(
    dev: Path = typer.Argument(..., help="To choose thresholds by", exists=True),
    test: Path = typer.Argument(..., help="To measure on", exists=True),
    metrics: Path = typer.Argument(..., help="JSON file to write"),
    pipelines: list[Path] = typer.Argument(
        ..., help="Trained on gold spans, for instance with several seeds", exists=True
    ),
    source: str = typer.Option("en_small", help="Encoder that never saw an error"),
    lang: str = typer.Option("en", help="Language of the tokenizer"),
    gpu_id: int = typer.Option(-1, help="GPU, or -1 for the CPU"),
) -> None:
    """Measure marking everything, the untrained detector and the trained ones."""
    if gpu_id >= 0:
        require_gpu(gpu_id)
    untrained = spacy.blank(lang)
    encoder = {"source": source}
    untrained.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    found = {"zero-shot": [measure(untrained, dev, test)]}
    found["supervised"] = [measure(spacy.load(path), dev, test) for path in pipelines]
    table: dict[str, dict[str, Any]] = {}
    for name, runs in found.items():
        for place, suffix in enumerate(("", ", threshold of dev")):
            table[name + suffix] = over_runs([run[place] for run in runs])
    labels = judge(untrained, test)[1]
    everything = [np.ones(len(part)) for part in labels], labels
    table["every word marked"] = over_runs([metrics_at(everything, 0.5)])
    srsly.write_json(metrics, table)
    rows = [
        (name, *(shown(values[column]) for column in COLUMNS))
        for name, values in table.items()
    ]
    msg.table(rows, header=("Detector", *COLUMNS), divider=True)


def measure(nlp: spacy.Language, dev: Path, test: Path) -> tuple[Metrics, Metrics]:
    """Metrics on the test at the threshold of 0.5, and at the best one of dev."""
    on_dev, on_test = judge(nlp, dev), judge(nlp, test)
    best = best_threshold(np.concatenate(on_dev[0]), np.concatenate(on_dev[1]))
    return metrics_at(on_test, DEFAULT_THRESHOLD), metrics_at(on_test, best)


def judge(nlp: spacy.Language, file: Path) -> Judged:
    """Probability and gold label of every token that spaCy makes of each text."""
    gold = list(DocBin().from_disk(file).get_docs(nlp.vocab))
    scores, labels = [], []
    for predicted, reference in zip(
        nlp.pipe(doc.text for doc in gold), gold, strict=True
    ):
        labels.append(gold_labels(Example(predicted, reference), SPANS_KEY))
        scores.append(np.array([token._.rtd_score for token in predicted]))
    return scores, labels


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


def metrics_at(judged: Judged, threshold: float) -> Metrics:
    """Metrics of a detector at a threshold, by token and by span.

    A span is a run of wrong tokens, and is found where it is marked from its first
    token to its last and no further.
    """
    scores, labels = judged
    by_token = detection(np.concatenate(scores), np.concatenate(labels), threshold)
    found = spans([part >= threshold for part in scores])
    gold = spans(labels)
    score = PRFScore()
    score.score_set(found, gold)
    return {
        "threshold": threshold,
        **vars(by_token),
        "span_precision": score.precision,
        "span_recall": score.recall,
        "span_f05": f_score(score.precision, score.recall, 0.5),
    }


def spans(marks: list[NDArray[np.bool_]]) -> set[tuple[int, int, int]]:
    """Number of the text, start and end of each run of marks."""
    found: set[tuple[int, int, int]] = set()
    for number, part in enumerate(marks):
        edges = np.flatnonzero(np.diff(part.astype(np.int8), prepend=0, append=0))
        starts, ends = edges[::2].tolist(), edges[1::2].tolist()
        found.update((number, *pair) for pair in zip(starts, ends, strict=True))
    return found


def over_runs(runs: list[Metrics]) -> dict[str, Any]:
    """The metrics of one run, or of several with mean, least and most."""
    if len(runs) == 1:
        return dict(runs[0])
    return {
        name: {
            "mean": statistics.fmean(run[name] for run in runs),
            "least": min(run[name] for run in runs),
            "most": max(run[name] for run in runs),
        }
        for name in runs[0]
    }


def shown(value: Any) -> str:
    """A value, or the mean and the range of several."""
    if isinstance(value, dict):
        return f"{value['mean']:.3f} ({value['least']:.3f}–{value['most']:.3f})"
    return f"{value:.3f}"


if __name__ == "__main__":
    typer.run(main)
