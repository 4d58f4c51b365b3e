"""Files and tensor names of checkpoints; the models that take them are not known."""

from .reading import read_header, read_json, read_tensors
from .writing import write_tensors

__all__ = ["read_header", "read_json", "read_tensors", "write_tensors"]
