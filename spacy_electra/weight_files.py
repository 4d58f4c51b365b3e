"""Names of files of weights; for a folder and for the hub, without opening any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class WeightFiles:
    """How the files of a format are named.

    Args:
        file: The file of weights, or a pattern where its name is free.
        index: The JSON file that lists the parts of weights in several files; "" where
            the format has no such file.
        parts: A pattern for those parts, or for files that always go with ``file``.
    """

    file: str
    index: str
    parts: str


SAFETENSORS = WeightFiles(
    "model.safetensors", "model.safetensors.index.json", "model-*.safetensors"
)
PYTORCH = WeightFiles(
    "pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin"
)
FLAX = WeightFiles(
    "flax_model.msgpack", "flax_model.msgpack.index.json", "flax_model-*.msgpack"
)
TENSORFLOW = WeightFiles("tf_model.h5", "tf_model.h5.index.json", "tf_model-*.h5")
TENSORFLOW_1 = WeightFiles("*.index", "", "*.data-?????-of-?????")
# In the order in which they are preferred.
WEIGHT_FILES = (SAFETENSORS, PYTORCH, FLAX, TENSORFLOW, TENSORFLOW_1)


def weights_among(names: Iterable[str]) -> list[str]:
    """The files of weights that would be read, in each folder of one format alone.

    Args:
        names: Of all files of a checkpoint, those in folders below it too, such as
            "generator/model.safetensors".

    Returns:
        Of each folder the file of the preferred format, or its index and parts; [] for
        a checkpoint without weights.
    """
    by_folder: dict[str, list[str]] = {}
    for path in sorted(names):
        folder, slash, name = path.rpartition("/")
        by_folder.setdefault(folder + slash, []).append(name)
    return [
        folder + name for folder in by_folder for name in _preferred(by_folder[folder])
    ]


def _preferred(names: list[str]) -> list[str]:
    for form in WEIGHT_FILES:
        parts = [name for name in names if fnmatchcase(name, form.parts)]
        whole = [name for name in names if fnmatchcase(name, form.file)]
        if whole:
            return whole if form.index else whole + parts
        if form.index in names:
            return [form.index, *parts]
    return []
