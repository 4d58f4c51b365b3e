"""Reading the files of a checkpoint directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import Errors
from ..json_file import read_json_object
from ..weight_files import SAFETENSORS, WEIGHT_FILES
from .formats import FORMATS, Format, safetensors_file, weights_file
from .formats.checks import FETCH_ALL, check_file, missing
from .int8_rows import from_int8_rows
from .names import PREFIX
from .writing import ENCODER_ABOVE

Reader = Callable[[Path], dict[str, Tensor]]


def read_json(file: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no regular file, or not JSON, or no object.
    """
    check_file(file)
    return read_json_object(file, Errors.SE210)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint directory, on the CPU, by the names of its files.

    Rows of int8 become floats. A generator that shares its encoder with the
    discriminator in the folder above takes that one's weights.

    Raises:
        FileNotFoundError: If there is no file of weights, or a part is missing.
        ValueError: If a file is broken.
    """
    return _with_encoder(folder, lambda form: form.read)


def read_header(folder: Path) -> dict[str, Tensor]:
    """Names and shapes of those weights, as tensors without memory (device "meta").

    Whatever a file claims to hold, this costs nothing; errors as in ``read_tensors``.
    """
    return _with_encoder(folder, lambda form: form.header)


def _with_encoder(
    folder: Path, reader_of: Callable[[Format], Reader]
) -> dict[str, Tensor]:
    tensors = _from_files(folder, reader_of)
    file = folder / SAFETENSORS.file
    if not file.exists() or ENCODER_ABOVE not in safetensors_file.metadata(file):
        return from_int8_rows(tensors)
    # Named by no file, and no further than one folder.
    above = folder.resolve().parent
    if not (above / SAFETENSORS.file).exists():
        raise FileNotFoundError(
            Errors.SE474(folder=folder, name=above / SAFETENSORS.file)
        )
    encoder = _from_files(above, reader_of)
    shared = {n: t for n, t in encoder.items() if n.startswith(PREFIX)}
    return from_int8_rows({**shared, **tensors})


def _from_files(
    folder: Path, reader_of: Callable[[Format], Reader]
) -> dict[str, Tensor]:
    for form in FORMATS:
        reader = reader_of(form)
        file = weights_file(folder, form)
        if file is not None:
            check_file(file)
            return reader(file)
        if form.FILES.index and (folder / form.FILES.index).exists():
            tensors: dict[str, Tensor] = {}
            for part in _parts(folder / form.FILES.index):
                tensors.update(reader(part))
            return tensors
    known = [name for form in WEIGHT_FILES for name in (form.file, form.index) if name]
    raise missing(folder, list(known))


def _parts(index: Path) -> list[Path]:
    """The files that an index names."""
    by_name = read_json(index).get("weight_map")
    if not isinstance(by_name, dict) or not all(
        isinstance(part, str) for part in by_name.values()
    ):
        error = 'it has no "weight_map" from names to files'
        raise ValueError(Errors.SE210(file=index, error=error))
    parts = []
    for part in sorted(set(by_name.values())):
        # The names come from a file: they must not lead out of the folder.
        if Path(part).name != part:
            told = Errors.SE200(folder=index.parent, names=part, advice=FETCH_ALL)
            raise FileNotFoundError(told)
        check_file(index.parent / part)
        parts.append(index.parent / part)
    return parts
