"""Formats that a network is written in, one module each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ...models.pretrained import PretrainedModel
from ..calibration import Batch
from . import onnx_file, openvino_file, safetensors_file


class Format(Protocol):
    """What a module of this folder has."""

    @property
    def NAME(self) -> str:
        """What it is asked for by."""

    @property
    def FILE(self) -> str:
        """The file that is opened."""

    @property
    def FILES(self) -> tuple[str, ...]:
        """All that it may write."""

    @property
    def PRECISIONS(self) -> tuple[str, ...]:
        """Of the weights."""

    @property
    def CALIBRATED(self) -> tuple[str, ...]:
        """Those of them that need texts."""

    def check(self, precision: str) -> None:
        """Refuse where a package is missing."""

    def write(
        self,
        network: PretrainedModel,
        folder: Path,
        precision: str,
        batches: Sequence[Batch],
    ) -> None:
        """Write a network into a folder that is there."""


_MODULES: tuple[Format, ...] = (safetensors_file, onnx_file, openvino_file)
FORMATS = {module.NAME: module for module in _MODULES}
