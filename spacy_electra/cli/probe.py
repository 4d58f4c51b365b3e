"""`python -m spacy electra probe`: how good a tagger an encoder makes."""

from __future__ import annotations

import warnings
from pathlib import Path

import srsly
import typer
from tqdm import tqdm
from wasabi import msg

from ..files import whole_file
from ..pretraining.evaluation.conllu import read_conllu
from ..pretraining.evaluation.probe import ProbeSettings
from ..pretraining.evaluation.probe import probe as train_probes
from ..pretraining.pairs import open_pair
from ..pretraining.run.distributed import usable_device
from .gpu import DEVICE


def probe(
    source: str = typer.Argument(
        ..., help="Run, checkpoint, source directory, bundled name or hub id"
    ),
    train: Path = typer.Argument(..., help="CoNLL-U file to learn from", exists=True),
    test: Path = typer.Argument(..., help="CoNLL-U file to measure on", exists=True),
    epochs: int = typer.Option(3, help="Times that each sentence is seen"),
    limit: int = typer.Option(0, help="Most sentences to learn from; 0 for all"),
    seed: int = typer.Option(0, help="Of weights, order and dropout"),
    device: str = DEVICE,
    output: Path = typer.Option(None, help="JSON file for the metrics"),
) -> None:
    """Train taggers on a frozen and an unfrozen encoder; print their accuracy.

    A low loss in pretraining is no promise: this is what the encoder is worth.
    """
    with warnings.catch_warnings():
        # Of no consequence: only the encoder is used.
        warnings.filterwarnings("ignore", message=r".*SW200")
        pair = open_pair(source)
    sentences = list(read_conllu(train))[: limit or None]
    with tqdm(unit=" batches", desc="Training two taggers") as bar:

        def on_batch(total: int) -> None:
            bar.total = total
            bar.update()

        result = train_probes(
            pair.discriminator.electra.to(usable_device(device)),
            pair.tokenizer,
            sentences,
            list(read_conllu(test)),
            ProbeSettings(epochs=epochs, seed=seed),
            on_batch=on_batch,
        )
    rows = [(name, f"{value:.2%}") for name, value in result.items()]
    msg.table(rows, header=("Encoder", "Accuracy"), divider=True)
    if output is not None:
        with whole_file(output) as partial:
            srsly.write_json(partial, result)
