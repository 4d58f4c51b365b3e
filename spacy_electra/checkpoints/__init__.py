"""Reading and writing weights, and where a source's name leads."""

from .reading import LoadReport, read_config, read_model, read_model_with_report
from .source import bundled_checkpoints, resolve_source
from .writing import write_model

__all__ = [
    "LoadReport",
    "bundled_checkpoints",
    "read_config",
    "read_model",
    "read_model_with_report",
    "resolve_source",
    "write_model",
]
