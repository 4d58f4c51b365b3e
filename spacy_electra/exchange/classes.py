"""Which class a checkpoint is of."""

from __future__ import annotations

from pathlib import Path

from ..errors import Errors
from ..models import ElectraConfig, ElectraModel
from ..models.heads import HEADS
from ..models.pretrained import PretrainedModel

CLASSES: dict[str, type[PretrainedModel]] = {"ElectraModel": ElectraModel, **HEADS}


def class_named(name: str) -> type[PretrainedModel]:
    """A class by its name.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in CLASSES:
        choices = ", ".join(CLASSES)
        raise ValueError(Errors.SE002(name="class", value=name, choices=choices))
    return CLASSES[name]


def class_of(folder: Path) -> type[PretrainedModel]:
    """The class that a checkpoint is of, by its config.json or else by its weights.

    Args:
        folder: Of the checkpoint. "BertForX" in its config counts as "ElectraForX".

    Returns:
        The class that config.json names; where it names none of ours, the first whose
        weights are all there; the bare encoder last.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is broken.
    """
    named = ElectraConfig.from_pretrained(folder).extra.get("architectures")
    name = str(named[0]) if isinstance(named, list) and named else ""
    if name in CLASSES:
        return CLASSES[name]
    if name.startswith("Bert") and (alike := CLASSES.get(f"Electra{name[4:]}")):
        return alike
    for cls in HEADS.values():
        try:
            if not cls.report_of(folder).newly_initialized:
                return cls
        except ValueError:
            # Weights of that name, of another shape: another head.
            continue
    return ElectraModel
