"""`python -m spacy electra quantize`: a pipeline whose encoders compute in int8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import spacy
import typer
from spacy.language import Language
from thinc.api import Model
from wasabi import msg

from ..errors import Errors
from ..files import folder_size
from ..layers.encoding import WithEncoder
from ..layers.listener import EncoderListener
from ..models.precision import INT8
from ..pipeline.saving.folder import pipeline_folder
from ..pretraining.corpus.documents import read_documents

_MOST_TEXTS = 300


def quantize(
    pipeline: str = typer.Argument(..., help="Saved pipeline, or installed package"),
    text: str = typer.Argument(..., help="Text like yours; as for prepare"),
    output: Path = typer.Argument(..., help="Folder for the new pipeline"),
) -> None:
    """Round the encoders of a pipeline to 8-bit integers: smaller, and faster on a CPU.

    Their weights are saved in a quarter of the size. The products of inference take
    8-bit integers too, within ranges that TEXT shows. The pipeline trains as before.
    """
    folder = pipeline_folder(pipeline)
    if folder is None:
        raise ValueError(Errors.SE346(source=pipeline))
    config = spacy.util.load_config(folder / "config.cfg")
    settings = {path: INT8 for path in _precisions(config["components"], "components")}
    nlp = spacy.load(folder, config=settings)
    encoders = encoders_of(nlp)
    if not encoders:
        names = ", ".join(nlp.component_names) or "none"
        raise ValueError(Errors.SE347(source=pipeline, names=names))
    docs = [nlp.make_doc(part) for part in islice(read_documents(text), _MOST_TEXTS)]
    for encoder in encoders:
        encoder.calibrate(docs)
        if not encoder.shim.calibration:
            raise ValueError(Errors.SE348(text=text))
        encoder.shim.round_weights()
    nlp.to_disk(output)
    before, after = (folder_size(place) / 1e6 for place in (folder, output))
    msg.good(f"Wrote {output} ({after:.1f} MB; {pipeline} has {before:.1f} MB)")


def encoders_of(nlp: Language) -> list[WithEncoder[Any, Any]]:
    """The models of a pipeline that hold an encoder, listeners aside."""
    models = (getattr(pipe, "model", None) for _, pipe in nlp.components)
    nodes = (n for model in models if isinstance(model, Model) for n in model.walk())
    return [
        node
        for node in nodes
        if isinstance(node, WithEncoder) and not isinstance(node, EncoderListener)
    ]


def _precisions(block: Mapping[str, Any], path: str) -> Iterator[str]:
    """Where a config sets the precision of an encoder of this package."""
    is_ours = str(block.get("@architectures", "")).startswith("spacy-electra.")
    if is_ours and "precision" in block:
        yield f"{path}.precision"
    for name, value in block.items():
        if isinstance(value, Mapping):
            yield from _precisions(value, f"{path}.{name}")
