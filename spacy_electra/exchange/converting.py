"""One network of a checkpoint in another format."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..models.pretrained import LoadReport, PretrainedModel
from ..source import resolve_source
from ..tokenization.wordpiece import ElectraTokenizer
from .classes import class_named, class_of
from .writing import check_format, check_output, check_report, write_folder


class Converted(NamedTuple):
    """What was written.

    Args:
        network_class: What the source was opened as.
        report: What was new, and what of the source was left out.
    """

    network_class: type[PretrainedModel]
    report: LoadReport


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: str = "safetensors",
    dtype: str = "fp32",
    class_name: str = "",
    texts: Iterable[str] | None = None,
    allow_new: bool = False,
) -> Converted:
    """Write a network and its tokenizer as a folder, whole or not at all.

    Args:
        source: A directory, the name of a bundled checkpoint, or a hub id.
        output: The folder, made where it is missing.
        format: "safetensors", "onnx" or "openvino".
        dtype: Precision of the weights, one that the format has.
        class_name: What to open the source as, "ElectraModel" or one of ``HEADS``; ""
            for what its config.json says.
        texts: To calibrate with, where the format asks for some.
        allow_new: Whether to write weights that the source lacks, which are random.

    Raises:
        FileNotFoundError: If the source or one of its files is missing.
        ValueError: If there is no such format, dtype or class; if the source is broken
            or lacks some weights; if the output is the source, or holds other files.
        ImportError: If a package is missing.
    """
    check_format(format, dtype, texts)
    named = class_named(class_name) if class_name else None
    folder = resolve_source(source)
    check_output(Path(output), folder)
    cls = named or class_of(folder)
    check_report(cls.report_of(folder), cls, os.fspath(source), allow_new)
    network, report = cls.from_pretrained_with_report(folder)
    write_folder(
        Path(output),
        network,
        ElectraTokenizer.from_pretrained(folder),
        format=format,
        precision=dtype,
        texts=texts,
        source=folder,
    )
    return Converted(cls, report)
