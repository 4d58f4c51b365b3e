"""`python -m spacy electra calibrate`: what a mark is worth on text of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import typer
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from tqdm import tqdm
from wasabi import msg

from ..errors import Errors
from ..metrics import proportion_interval
from ..pipeline.calibration.file import (
    CALIBRATION,
    read_calibration,
    write_calibration,
)
from ..pipeline.calibration.fitting import (
    CleanScores,
    clean_scores,
    fingerprint,
    fit_scale,
)
from ..pipeline.calibration.table import Calibration, Domain, Scale, check_rate
from ..pipeline.rtd import ElectraRTD
from ..pipeline.saving.folder import pipeline_folder
from ..pipeline.scorers.rtd import gold_labels
from ..pretraining.corpus.documents import read_documents
from ..source import DEFAULT_SOURCE
from .detectors import folder_in_pipeline, open_detector
from .gpu import GPU_ID, use_gpu

_DOCS_PER_BATCH = 32
_SHOWN = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


def calibrate(
    text: str = typer.Argument(..., help="Clean text: file, folder or glob"),
    source: str = typer.Argument(
        DEFAULT_SOURCE, help="Checkpoint, bundled name, hub id, or a saved pipeline"
    ),
    false_marks: float = typer.Option(2.0, help="Wished false marks per 1,000 words"),
    domain: str = typer.Option("own", help="Name of this text in the table"),
    words: int = typer.Option(200_000, min=1, help="Most words to look at"),
    gold: Path = typer.Option(
        None,
        help=".spacy file with wrong words as spans, to fit probabilities to",
        exists=True,
    ),
    output: Path = typer.Option(
        None,
        help="File for the table, or folder of a checkpoint or pipeline; by default "
        "SOURCE if that is a folder, else calibration.json",
    ),
    lang: str = typer.Option("en", help="Language, where SOURCE is no pipeline"),
    gpu_id: int = GPU_ID,
) -> None:
    """Find the threshold for a wished rate of false marks, on clean text.

    Every mark in clean text is a false one. The thresholds go into a table, which
    `false_marks_per_1000` of `electra_rtd` reads.
    """
    check_rate(false_marks, "--false-marks")
    use_gpu(gpu_id)
    nlp, component = open_detector(source, lang)
    # Tables are of scores as they come. Nothing of this pipeline is saved.
    component.calibrated, component.threshold = False, 0.5
    file = _file_for(source, output)
    scores = _scores(nlp, component, text, words)
    scores.check_words(text)
    threshold = scores.threshold(false_marks)
    own = scores.domain(text)
    scale = None if gold is None else _fitted(nlp, component, gold)
    table = _updated(file, fingerprint(component.model), domain, own, scale)
    write_calibration(table, file)
    _report(scores, false_marks)
    msg.good(
        f"Marks from {threshold:.4f} on are {false_marks:g} in 1,000 words of this "
        f"text; thresholds for other rates are in {file}"
    )
    setting = f'"false_marks_per_1000": {false_marks:g}'
    if file.parent.resolve() != Path(source).resolve():
        setting += f', "calibration": "{file}"'
    if pipeline_folder(source) is None:
        setting += f', "model": {{"encoder": {{"source": "{source}"}}}}'
    print(f'nlp.add_pipe("electra_rtd", config={{{setting}}})')


def _file_for(source: str, output: Path | None) -> Path:
    """Where the table goes."""
    if output is None:
        # Nothing is written into installed packages or the hub's cache.
        output = Path(source) if Path(source).is_dir() else Path(CALIBRATION)
    if not output.is_dir():
        return output
    is_pipeline = pipeline_folder(str(output)) is not None
    folder = folder_in_pipeline(output) if is_pipeline else output
    return folder / CALIBRATION


def _scores(nlp: Language, component: ElectraRTD, text: str, words: int) -> CleanScores:
    with tqdm(unit=" documents", desc="Scoring clean text", leave=False) as bar:
        docs = nlp.pipe(read_documents(text), batch_size=_DOCS_PER_BATCH)
        counted = (doc for doc in docs if bar.update() or True)
        return clean_scores(counted, component.scores_of, words)


def _fitted(nlp: Language, component: ElectraRTD, gold: Path) -> Scale:
    """Probabilities that meet gold spans."""
    key = component.cfg["spans_key"]
    references = list(_gold_docs(nlp, gold))
    if not any(key in reference.spans for reference in references):
        raise ValueError(Errors.SE541(file=gold, key=key))
    texts = [nlp.make_doc(reference.text) for reference in references]
    scores, labels = [], []
    for doc, reference in zip(nlp.pipe(texts), references, strict=True):
        scores.append(component.scores_of(doc))
        labels.append(gold_labels(Example(doc, reference), key))
    return fit_scale(np.concatenate(scores), np.concatenate(labels), str(gold))


def _gold_docs(nlp: Language, gold: Path) -> Iterator[Doc]:
    try:
        return DocBin().from_disk(gold).get_docs(nlp.vocab)
    # zlib, msgpack, numpy and spaCy each raise errors of their own.
    except Exception as error:
        raise ValueError(Errors.SE403(file=gold, error=error)) from error


def _updated(
    file: Path, weights: str, name: str, own: Domain, scale: Scale | None
) -> Calibration:
    """The table that is there, with this domain; a new one where weights differ."""
    table = Calibration(weights, name)
    if file.is_file():
        before = read_calibration(file)
        if before.weights == weights:
            table = before
        else:
            msg.warn(f"{file} was measured with other weights; it is replaced")
    table = table.with_domain(name, own)
    return table if scale is None else table.with_scores(scale)


def _report(scores: CleanScores, wished: float) -> None:
    """Rates with their thresholds, and how sure they are."""
    rows = []
    for rate in sorted({*_SHOWN, wished}):
        if scores.shows(rate):
            threshold = scores.threshold(rate)
            marks = scores.marks(threshold)
            low, high = proportion_interval(marks, scores.words)
            interval = f"{1000 * low:.2f} to {1000 * high:.2f}"
            rows.append((f"{rate:g}", f"{threshold:.4f}", f"{marks:,}", interval))
    header = ("In 1,000 words", "Threshold", f"Marks of {scores.words:,}", "95 %")
    msg.table(rows, header=header, divider=True, aligns=("r", "r", "r", "r"))
