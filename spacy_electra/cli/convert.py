"""`python -m spacy electra convert`: a checkpoint in another format."""

from __future__ import annotations

from pathlib import Path

import typer

from ..errors import Errors
from ..exchange.classes import class_named, class_of
from ..exchange.writing import check_format, check_output, check_report, write_folder
from ..source import resolve_source
from ..tokenization import ElectraTokenizer
from .export import FORMAT, TEXTS, report_written
from .sources import pipeline_folder, texts_of


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
    calibration = texts_of(texts)
    check_format(format, dtype, calibration)
    named = class_named(class_name) if class_name else None
    folder = resolve_source(source)
    check_output(output, folder)
    cls = named or class_of(folder)
    check_report(cls.report_of(folder), cls, source, allow_new)
    network = cls.from_pretrained(folder)
    tokenizer = ElectraTokenizer.from_pretrained(folder)
    write_folder(
        output,
        network,
        tokenizer,
        format=format,
        precision=dtype,
        texts=calibration,
        source=folder,
    )
    report_written(f"{cls.__name__} of {source}", output, dtype)
