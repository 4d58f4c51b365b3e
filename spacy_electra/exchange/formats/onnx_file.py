"""A network as an ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ...extras import import_extra
from ...models.pretrained import PretrainedModel
from ..calibration import Batch
from ..graph import INPUTS, Graph

NAME = "onnx"
FILE = "model.onnx"
# Weights of more than 2 GB lie beside the graph.
FILES = (FILE, FILE + ".data")
PRECISIONS = ("fp32", "int8")
CALIBRATED: tuple[str, ...] = ()
# The first with GELU as one operator (December 2023).
OPSET = 20


def check(precision: str) -> None:
    """Refuse where a package is missing.

    Raises:
        ImportError: If one is; the message names the extra.
    """
    needed = ["onnx", "onnxscript"]
    if precision == "int8":
        needed.append("onnxruntime.quantization")
    for module in needed:
        import_extra(module, "ONNX files", NAME)


def write(
    network: PretrainedModel, folder: Path, precision: str, batches: Sequence[Batch]
) -> None:
    """Write model.onnx, of any batch, length and number of choices.

    Inputs are int64 ``input_ids``, ``attention_mask`` and ``token_type_ids``, all
    needed; outputs have the names that Transformers gives them. The output at a
    padded position means nothing.

    Args:
        network: Of any class, in fp32.
        folder: Is there already.
        precision: "int8" rounds the matrices, a scale per output, and each batch of
            hidden states as it comes ("dynamic quantization"), so that it needs no
            texts; the embeddings are rounded too.
        batches: Not used.
    """
    if precision == "fp32":
        write_graph(network, folder / FILE)
        return
    with TemporaryDirectory(dir=folder) as place:
        plain = Path(place) / FILE
        write_graph(network, plain)
        _round(plain, folder / FILE)


def write_graph(network: PretrainedModel, file: Path) -> None:
    """Write the network, in the precision that it has."""
    graph = Graph(network)
    axes = {number: torch.export.Dim(name) for number, name in enumerate(graph.axes)}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            graph.example(),
            dynamo=True,
            dynamic_shapes=(axes,) * len(INPUTS),
            input_names=INPUTS,
            output_names=graph.outputs,
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None
        program.save(file)


def _round(plain: Path, file: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            plain,
            file,
            weight_type=QuantType.QInt8,
            per_channel=True,
            use_external_data_format=(plain.parent / (FILE + ".data")).exists(),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries say of themselves and of each other."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
