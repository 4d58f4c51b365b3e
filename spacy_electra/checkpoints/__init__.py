"""Files and tensor names of checkpoints; the models that take them are not known."""

from .int8_rows import from_int8_rows, to_int8_rows
from .reading import read_header, read_json, read_tensors
from .writing import write_tensors

__all__ = [
    "from_int8_rows",
    "read_header",
    "read_json",
    "read_tensors",
    "to_int8_rows",
    "write_tensors",
]
