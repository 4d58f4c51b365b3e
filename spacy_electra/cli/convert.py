"""`python -m spacy electra convert`: a checkpoint in another format."""

from __future__ import annotations

from pathlib import Path

import typer
from wasabi import msg

from ..errors import Errors, Warnings, listed
from ..exchange import convert as write
from ..models import ElectraForPreTraining
from ..pipeline.calibration.copies import keep_calibration
from ..pipeline.saving.folder import pipeline_folder
from ..source import resolve_source
from .export import FORMAT, TEXTS, report_written
from .sources import calibration_texts


def convert(
    source: str = typer.Argument(
        ..., metavar="IN", help="Source directory, bundled name or hub id"
    ),
    output: Path = typer.Argument(..., metavar="OUT", help="Folder to write"),
    format: str = FORMAT,
    dtype: str = typer.Option(
        "fp32",
        help="Precision on disk: fp32, bf16, fp16 or int8 (for this package alone) as "
        "safetensors; fp32 or int8 as onnx; fp32, fp16 or int8 as openvino",
    ),
    class_name: str = typer.Option(
        "",
        "--class",
        help="ElectraModel, ElectraForPreTraining, ...; by default what config.json "
        "says",
        show_default=False,
    ),
    texts: str = TEXTS,
    allow_new: bool = typer.Option(
        False, "--allow-new", help="Write weights that nobody has trained, too"
    ),
) -> None:
    """Write one network of any checkpoint in another format or precision.

    What was trained here, a run or a component of a pipeline, is for `export`.
    """
    if pipeline_folder(source) is not None:
        raise ValueError(Errors.SE069(source=source))
    network_class, report = write(
        source,
        output,
        format=format,
        dtype=dtype,
        class_name=class_name,
        texts=calibration_texts(texts),
        allow_new=allow_new,
    )
    name = network_class.__name__
    if network_class is ElectraForPreTraining:
        keep_calibration(resolve_source(source), output)
    if report.newly_initialized or report.left_over:
        msg.warn(
            Warnings.SW200(
                source=source,
                architecture=name,
                new=listed(report.newly_initialized, most=8) or "nothing",
                left=listed(report.left_over, most=8) or "nothing",
            )
        )
    report_written(f"{name} of {source}", output, dtype)
