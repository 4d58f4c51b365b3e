"""Settings of a config that are given as options, --section.key value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from spacy.cli._util import parse_config_overrides

from ..errors import Errors


def config_overrides(
    arguments: Sequence[str], sections: Iterable[str]
) -> dict[str, Any]:
    """The settings that options give, as spaCy reads them.

    Args:
        arguments: What is left of the command line.
        sections: Of the config, named in the message.

    Raises:
        ValueError: If an option has no section; spaCy's own error for it would end in
            a traceback here.
    """
    is_value = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        is_option = name.startswith("--")
        if (is_option and "." not in name) or (not is_option and not is_value):
            raise ValueError(Errors.SE449(option=name, sections=", ".join(sections)))
        is_value = is_option and not equals
    # It empties the list that it is given.
    return dict(parse_config_overrides(list(arguments)))
