"""Tables of calibration on disk.

The table lies beside the weights that it was measured with, as "calibration.json":

    {
      "format": "spacy-electra.calibration.v1",
      "weights": "6f0c...",            fingerprint of the head's weights
      "default": "web",                the domain that counts where none is named
      "domains": {
        "web": {
          "text": "UD English EWT dev",
          "words": 25148,              of clean text
          "thresholds": [[0.5, 0.97], [1.0, 0.95], ...]
        }                              false marks per 1,000 words, and from which
      },                               score on that happens; rates rise
      "scores": {                      null where nobody fitted it
        "text": "...",
        "words": 40000,
        "error_rate": 0.025,           share of wrong words in that text
        "temperature": 1.4,            P(wrong) = sigmoid(logit / temperature + bias)
        "bias": -0.7
      }
    }
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Errors
from ...files import whole_file
from .table import Calibration, Domain, Scale

CALIBRATION = "calibration.json"
FORMAT = "spacy-electra.calibration.v1"
_PAIR = re.compile(r"\[\s+([^\s,\[]+),\s+([^\s\]]+)\s+\]")


def read_calibration(file: str | os.PathLike[str]) -> Calibration:
    """Read a table.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such table; the message says what is wrong with it.
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(Errors.SE533(path=path))
    try:
        # Faster parsers are not exact to the last digit.
        data = json.loads(path.read_text(encoding="utf8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(Errors.SE534(file=path, problem=error)) from error
    return calibration_from(data, path)


def write_calibration(calibration: Calibration, file: str | os.PathLike[str]) -> None:
    """Write a table, whole or not at all."""
    text = json.dumps(as_dict(calibration), indent=2, ensure_ascii=False)
    with whole_file(file) as partial:
        # A pair to a line.
        partial.write_text(_PAIR.sub(r"[\1, \2]", text) + "\n", encoding="utf8")


def as_dict(calibration: Calibration) -> dict[str, Any]:
    """What is in the file."""
    return {"format": FORMAT, **asdict(calibration)}


def calibration_from(data: Any, file: object = CALIBRATION) -> Calibration:
    """The table in what JSON gave.

    Args:
        data: Of any kind.
        file: Where it comes from, for messages.

    Raises:
        ValueError: If it is no such table.
    """
    try:
        return _parsed(data)
    except _Wrong as error:
        raise ValueError(Errors.SE534(file=file, problem=error)) from error


class _Wrong(ValueError):
    """What is wrong with a table."""


def _parsed(data: Any) -> Calibration:
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise _Wrong(f'"format" is {found!r}, not "{FORMAT}"')
    domains = _get(data, "domains", dict)
    table = Calibration(
        weights=_get(data, "weights", str),
        default=_get(data, "default", str),
        domains={name: _domain(name, own) for name, own in domains.items()},
        scores=_scale(data.get("scores")),
    )
    if table.default not in table.domains:
        raise _Wrong(f'"default" is {table.default!r}, which "domains" lacks')
    return table


def _domain(name: str, data: Any) -> Domain:
    words, pairs = _get(data, "words", int), _get(data, "thresholds", list)
    try:
        points = np.array(pairs, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise _Wrong(f'"thresholds" of {name!r} are no pairs of numbers') from error
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise _Wrong(f'"thresholds" of {name!r} are no pairs of numbers')
    rates, scores = points.T
    if rates[0] <= 0 or (np.diff(rates) <= 0).any() or (np.diff(scores) > 0).any():
        raise _Wrong(f"rates of {name!r} must rise from above 0, and scores fall")
    if scores.min() < 0 or scores.max() > 1:
        raise _Wrong(f"scores of {name!r} must lie between 0 and 1")
    pairs = tuple((float(rate), float(score)) for rate, score in points)
    return Domain(_get(data, "text", str), words, pairs)


def _scale(data: Any) -> Scale | None:
    if data is None:
        return None
    scale = Scale(
        text=_get(data, "text", str),
        words=_get(data, "words", int),
        error_rate=_get(data, "error_rate", float),
        temperature=_get(data, "temperature", float),
        bias=_get(data, "bias", float),
    )
    if scale.temperature <= 0:
        raise _Wrong(f'"temperature" is {scale.temperature}, and must be above 0')
    return scale


def _get(data: Any, key: str, kind: type) -> Any:
    value: Any = data.get(key) if isinstance(data, dict) else None
    is_kind = isinstance(value, (int, float) if kind is float else kind)
    if not is_kind or isinstance(value, bool):
        raise _Wrong(f'"{key}" is {value!r}, and should be {_NAMES[kind]}')
    if kind in (int, float) and not math.isfinite(value):
        raise _Wrong(f'"{key}" is {value!r}, and should be {_NAMES[kind]}')
    return value


_NAMES = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
}
