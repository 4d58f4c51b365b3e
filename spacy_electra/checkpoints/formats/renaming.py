"""From the names and layouts of TensorFlow and Flax to those of PyTorch.

All of them name a weight by its way through the modules, which are the same in each;
what differs is how the way is written, the last word, and that a kernel is
[inputs, outputs] where PyTorch's weight is [outputs, inputs].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from ...errors import Errors

_KERNEL = "kernel"
_LAST_WORDS = {
    _KERNEL: "weight",
    # Layer norm: TensorFlow's, then Flax's.
    "gamma": "weight",
    "beta": "bias",
    "scale": "weight",
    # Tables of embeddings: Keras', then Flax's.
    "embeddings": "weight",
    "embedding": "weight",
    # Variables that Google's code makes without a layer around them.
    "output_weights": "weight",
    "output_bias": "bias",
}
_LAYER = re.compile(r"\blayer_(\d+)\b")


def renamed(
    tensors: Iterable[tuple[str, Tensor]], rule: Callable[[str], str], file: Path
) -> dict[str, Tensor]:
    """Tensors by PyTorch's names, kernels transposed.

    Args:
        tensors: By their own names; the last word of a name tells a kernel.
        rule: From their names to PyTorch's.
        file: Named in messages.

    Raises:
        ValueError: If two weights that are not alike have one name.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors:
        ours = rule(name)
        if re.search(rf"\b{_KERNEL}(:0)?$", name) and tensor.dim() == 2:
            tensor = tensor.T
        # Keras writes a weight that two layers share for each of them.
        if ours in found and not _alike(found[ours], tensor):
            raise ValueError(Errors.SE030(file=file, name=name, ours=ours))
        found.setdefault(ours, tensor)
    return found


def from_keras(name: str) -> str:
    """Of a TensorFlow 2 variable of Transformers, without its model's name.

    >>> from_keras("electra/encoder/layer_._0/output/LayerNorm/gamma:0")
    'electra.encoder.layer.0.output.LayerNorm.weight'
    """
    path = name.removesuffix(":0").replace("_._", "/").split("/")
    # "mlm___cls" is a second scope for what PyTorch calls "cls".
    return _joined([part.rpartition("___")[2] for part in path])


def from_flax(name: str) -> str:
    """Of a leaf of Flax's tree of parameters, its way joined by dots.

    >>> from_flax("electra.embeddings.word_embeddings.embedding")
    'electra.embeddings.word_embeddings.weight'
    """
    return _joined(name.split("."))


def from_google(name: str) -> str:
    """Of a TensorFlow 1 variable of Google's ELECTRA or BERT.

    >>> from_google("electra/encoder/layer_0/output/LayerNorm/gamma")
    'electra.encoder.layer.0.output.LayerNorm.weight'
    >>> from_google("generator_predictions/output_bias")
    'generator_lm_head.bias'
    """
    if name == "generator_predictions/output_bias":
        return "generator_lm_head.bias"
    path = _LAYER.sub(r"layer/\1", name).split("/")
    if path[:2] == ["discriminator_predictions", "dense_1"]:
        path[1] = "dense_prediction"
    if path[-1].endswith("_embeddings"):
        path.append("weight")
    return _joined(path)


def _joined(path: list[str]) -> str:
    return ".".join([*path[:-1], _LAST_WORDS.get(path[-1], path[-1])])


def _alike(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return one.is_meta or torch.equal(one, other)
