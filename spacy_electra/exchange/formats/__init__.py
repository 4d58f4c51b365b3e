"""Formats that a network is written in, one module each.

A format has ``NAME``; ``FILES``, all that it may write; ``PRECISIONS``; ``CALIBRATED``,
those of them that need texts; a function ``check``, which refuses where a package is
missing; and a function ``write``.
"""

from typing import Any

from . import onnx_file, openvino_file, safetensors_file

FORMATS: dict[str, Any] = {
    module.NAME: module for module in (safetensors_file, onnx_file, openvino_file)
}
