"""A network as OpenVINO's intermediate representation."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...extras import import_extra
from ...models.pretrained import PretrainedModel
from ..calibration import Batch
from . import onnx_file

NAME = "openvino"
# As Optimum names it; the weights have a file of their own.
FILE = "openvino_model.xml"
FILES = (FILE, "openvino_model.bin")
PRECISIONS = ("fp32", "fp16", "int8")
CALIBRATED = ("int8",)
_WHAT = "OpenVINO files"


def check(precision: str) -> None:
    """Refuse where a package is missing.

    Raises:
        ImportError: If one is; the message names the extra.
    """
    onnx_file.check("fp32")
    import_extra("openvino", _WHAT, NAME)
    if precision == "int8":
        _import_nncf()


def write(
    network: PretrainedModel, folder: Path, precision: str, batches: Sequence[Batch]
) -> None:
    """Write openvino_model.xml and .bin; inputs and outputs as in ``onnx_file``.

    Args:
        network: Of any class, in fp32.
        folder: Is there already.
        precision: "fp16" rounds the weights alone; "int8" weights and hidden states, by
            the ranges that hidden states have on the batches (NNCF's post-training
            quantization).
        batches: For "int8".
    """
    import openvino

    with TemporaryDirectory(dir=folder) as place:
        graph = Path(place) / onnx_file.FILE
        onnx_file.write_graph(network, graph)
        model = openvino.Core().read_model(graph)
        if precision == "int8":
            model = _round(model, batches)
        openvino.save_model(model, folder / FILE, compress_to_fp16=precision == "fp16")


def _import_nncf() -> Any:
    # Without it, NNCF tells a server of its makers that it runs.
    os.environ.setdefault("NNCF_CI", "1")
    return import_extra("nncf", _WHAT, NAME)


def _round(model: Any, batches: Sequence[Batch]) -> Any:
    nncf = _import_nncf()
    nncf.set_log_level(logging.WARNING)
    return nncf.quantize(
        model,
        nncf.Dataset(batches),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(batches),
    )
