"""Reading a JSON file that holds an object."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def read_json_object(file: Path, problem: Callable[..., str]) -> dict[str, Any]:
    """The object in a JSON file, with or without a byte order mark.

    Args:
        file: A regular file: a pipe or a device under its name would block, or never
            end.
        problem: Makes an error's message of ``file`` and ``error``.

    Raises:
        ValueError: If it is no regular file, can't be read, or is no JSON object.
    """
    if not file.is_file():
        raise ValueError(problem(file=file, error="it is no regular file"))
    try:
        content = json.loads(file.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
        raise ValueError(problem(file=file, error=error)) from error
    if not isinstance(content, dict):
        found = f"it holds a {type(content).__name__}, not an object"
        raise ValueError(problem(file=file, error=found))
    return content
