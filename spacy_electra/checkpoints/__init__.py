"""Files and tensor names of checkpoints; the models that take them are not known."""

from .int8_rows import from_int8_rows, to_int8_rows
from .reading import read_header, read_json, read_tensors
from .shapes import HEAD_WIDTH, refuse_without_config
from .writing import write_tensors

__all__ = [
    "HEAD_WIDTH",
    "from_int8_rows",
    "read_header",
    "read_json",
    "read_tensors",
    "refuse_without_config",
    "to_int8_rows",
    "write_tensors",
]
