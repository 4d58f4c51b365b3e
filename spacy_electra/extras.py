"""Packages that only some jobs need, which not everybody has installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import Errors


def import_extra(module: str, what: str, extra: str) -> Any:
    """A module of a package that an extra of this one installs.

    Args:
        module: Its full name.
        what: What it is needed for, as a sentence begins with it.
        extra: Name of the extra.

    Raises:
        ImportError: If it, or a package that it needs in turn, is missing; the message
            names that package and the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = (error.name or module).partition(".")[0]
        raise ImportError(
            Errors.SE414(what=what, package=package, extra=extra)
        ) from error
