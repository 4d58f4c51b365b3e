"""Tables of calibration that go along with weights into another folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...models import ElectraForPreTraining
from .file import CALIBRATION, read_calibration, write_calibration
from .fitting import fingerprint_of

_WEIGHTS = "model.safetensors"


def keep_calibration(network: ElectraForPreTraining | Path, output: Path) -> None:
    """Let a table that was copied beside weights be one of theirs.

    In bf16 or int8 they are not quite those that it was measured with, and have another
    fingerprint. Scores differ by so little that the thresholds hold all the same. A
    table of other weights stays as it is, and is refused where it is used.

    Args:
        network: What was written, or the folder of its checkpoint.
        output: Where it was written, with a copy of the table if there is one.

    Raises:
        ValueError: If the file is no such table.
    """
    file = output / CALIBRATION
    if not file.is_file() or not (output / _WEIGHTS).is_file():
        return
    table = read_calibration(file)
    if isinstance(network, Path):
        network = ElectraForPreTraining.from_pretrained(network)
    written = ElectraForPreTraining.from_pretrained(output)
    before, after = (
        fingerprint_of(dict(own.head.named_parameters())) for own in (network, written)
    )
    if table.weights == before != after:
        write_calibration(replace(table, weights=after), file)
