"""`python -m spacy electra export`: what was trained here, for others to open."""

from __future__ import annotations

from pathlib import Path

import spacy
import typer
from wasabi import msg

from ..errors import Errors
from ..exchange.writing import (
    check_format,
    check_output,
    usual_precision,
    write_folder,
)
from ..files import folder_size
from ..models import ElectraForPreTraining
from ..pipeline.calibration.copies import keep_calibration
from ..pipeline.saving.folder import pipeline_folder
from ..pipeline.saving.trained import trained_network
from ..pretraining.pairs import export_run, pair_folders
from ..source import resolve_source
from .sources import calibration_texts

FORMAT = typer.Option("safetensors", help="safetensors, onnx or openvino")
TEXTS = typer.Option(None, help="Text like yours, for int8 of openvino; as for prepare")


def export(
    source: str = typer.Argument(
        ..., metavar="RUN", help="Folder of a pretraining run, a pipeline, or a source"
    ),
    output: Path = typer.Argument(..., help="Folder for the checkpoint"),
    dtype: str = typer.Option(
        "",
        help="Precision on disk: bf16 (the default), fp16, fp32 or int8 (for this "
        "package alone) as safetensors; fp32 (the default) or int8 as onnx; these or "
        "fp16 as openvino",
        show_default=False,
    ),
    format: str = FORMAT,
    component: str = typer.Option("", help="Component of a pipeline"),
    texts: str = TEXTS,
    allow_new: bool = typer.Option(
        False, "--allow-new", help="Write weights that nobody has trained, too"
    ),
) -> None:
    """Write what a run or a component has learned as one checkpoint.

    Of a run that is the discriminator, its generator and their tokenizer. For one class
    of a checkpoint there is `convert`.
    """
    calibration = calibration_texts(texts)
    precision = dtype or usual_precision(format)
    folder = pipeline_folder(source)
    if folder is None:
        if component:
            raise ValueError(Errors.SE070(source=source, name=component))
        export_run(
            source,
            output,
            precision,
            format=format,
            texts=calibration,
            allow_new=allow_new,
        )
        keep_calibration(pair_folders(resolve_source(source))[0], output)
    else:
        # Loading a pipeline takes a while: first what can be said without.
        check_format(format, precision, calibration)
        check_output(output, folder)
        trained = trained_network(spacy.load(folder), component)
        write_folder(
            output,
            trained.network,
            trained.tokenizer,
            format=format,
            precision=precision,
            generator=trained.generator,
            texts=calibration,
            source=folder / trained.component,
        )
        if isinstance(trained.network, ElectraForPreTraining):
            keep_calibration(trained.network, output)
        source = f"{type(trained.network).__name__} of {trained.component!r}"
    report_written(source, output, precision)


def report_written(source: str, output: Path, precision: str) -> None:
    """Say what was written where, and how large it is."""
    megabytes = folder_size(output) / 1e6
    msg.good(f"Wrote {source} to {output} ({megabytes:.1f} MB, {precision})")
