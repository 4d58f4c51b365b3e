"""Lists of rows as tensors or arrays; the only place here that knows torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import Errors

_KINDS = ("pt", "np")


def to_tensors(values: Mapping[str, Any], kind: str | None) -> dict[str, Any]:
    """Each value as a tensor or an array.

    Args:
        values: Lists, of rows of equal lengths.
        kind: "pt" for tensors of torch, "np" for arrays, None for what they are.

    Raises:
        ValueError: If there is no such kind, or rows are of unequal length.
    """
    if kind is None:
        return dict(values)
    kind = getattr(kind, "value", kind)
    if kind not in _KINDS:
        raise ValueError(
            Errors.SE138(
                name="return_tensors", value=kind, choices=", ".join(map(repr, _KINDS))
            )
        )
    return {name: _tensor(value, name, kind) for name, value in values.items()}


def as_lists(value: Any) -> Any:
    """A list of a list, an array or a tensor, or of a list of these."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [as_lists(item) for item in value]
    return value


def kind_of(value: Any) -> str | None:
    """What to return for a list of such values: "pt", "np", or None for lists."""
    if isinstance(value, np.ndarray):
        return "np"
    return "pt" if type(value).__module__.split(".")[0] == "torch" else None


def _tensor(value: Any, name: str, kind: str) -> Any:
    if kind_of(value) == kind:
        return value
    try:
        array = np.array(as_lists(value))
    except ValueError as error:
        raise ValueError(Errors.SE140(name=name)) from error
    if array.dtype == object:
        raise ValueError(Errors.SE140(name=name))
    if array.size == 0:
        # Without a number in it, an array is one of floats.
        array = array.astype(np.int64)
    if kind == "np":
        return array
    # Here alone: most uses of a tokenizer need no torch.
    import torch

    return torch.from_numpy(array)
