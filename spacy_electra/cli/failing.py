"""Errors of the user's, as one line in the terminal and not a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from wasabi import msg

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_CODE = re.compile(r"\[SE\d{3}\]")


def plain_errors(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A command that ends with the message of an error that has a code, and status 1.

    Others are the package's own mistakes and keep their traceback.
    """

    @wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except (
            ValueError,
            OSError,
            ImportError,
            ArithmeticError,
            RuntimeError,
        ) as error:
            if not _CODE.search(str(error)):
                raise
            msg.fail(str(error), exits=1)
            raise

    return run
