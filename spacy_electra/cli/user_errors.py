"""Errors of the user's, as one line in the terminal and not a traceback."""

from __future__ import annotations

import errno
import re
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from typer import Abort, BadParameter, Exit
from wasabi import Printer, msg

from ..errors import Errors

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_CODE = re.compile(r"\[SE\d{3}\]")
_NO_ROOM = "Make room on the disk and run the command again."
# What to do about what the operating system says.
_ADVICE = {
    errno.EACCES: "Change its permissions, or give a place of your own.",
    errno.EPERM: "Change its permissions, or give a place of your own.",
    errno.EROFS: "Nothing can be written there: give another place.",
    errno.ENAMETOOLONG: "Give a shorter name.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "A part of this path is a file: give another.",
    errno.EISDIR: "It is a folder: give the name of a file.",
    errno.EEXIST: "A file has the name of the folder: give another.",
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
}
_LONGEST_PATH = 200


def plain_errors(
    command: Callable[Parameters, Result], *, status: int = 1
) -> Callable[Parameters, Result]:
    """A command that ends with the message of an error that has a code, and a status.

    What the operating system refuses gets one here. Other errors are the package's own
    mistakes and keep their traceback.

    Args:
        command: Any.
        status: After an error of any kind. Where it is not 1, that has a meaning of its
            own, and what is printed may be read by programs: messages then go to
            standard error.
    """

    @wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except (Exit, Abort, BadParameter):
            # What a command ends itself with.
            raise
        except (
            ValueError,
            OSError,
            ImportError,
            ArithmeticError,
            RuntimeError,
        ) as error:
            message = str(error)
            if not _CODE.search(message):
                if not isinstance(error, OSError) or error.errno not in _ADVICE:
                    _keep_traceback(status)
                    raise
                message = _explained(error, _ADVICE[error.errno])
            if status != 1:
                print(told(message), file=sys.stderr)
                raise SystemExit(status) from None
            msg.fail(message, exits=1)
            raise
        except Exception:
            _keep_traceback(status)
            raise

    return run


def told(message: str) -> str:
    """A message of an error as it is printed."""
    return str(Printer(no_print=True).fail(message))


def _keep_traceback(status: int) -> None:
    """End with a status of one's own; Python's is 1."""
    if status != 1:
        traceback.print_exc()
        raise SystemExit(status)


def _explained(error: OSError, advice: str) -> str:
    """What the operating system refuses, and what to do about it."""
    path = str(error.filename2 or error.filename or "A file")
    if len(path) > _LONGEST_PATH:
        path = f"{path[: _LONGEST_PATH // 2]} ... {path[-50:]}"
    return Errors.SE444(path=path, problem=error.strerror, advice=advice)
