"""The settings of a tokenizer: their defaults, and what each may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Errors

SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
# What WordPiece gives up on, as in BERT's own code: a longer word is one [UNK].
LONGEST_WORD = 100
# Transformers writes 1e30 for "no limit".
NO_LIMIT = int(1e30)

_FLAG = "true or false"
# Of these a saved tokenizer always writes all; the fingerprint of a corpus has them.
_FIRST: dict[str, Any] = {
    "do_lower_case": True,
    "do_basic_tokenize": True,
    "never_split": None,
    **SPECIAL_TOKENS,
    "tokenize_chinese_chars": True,
    "strip_accents": None,
    "clean_text": True,
    "wordpieces_prefix": "##",
    "clean_up_tokenization_spaces": True,
    "model_max_length": 512,
}
# These only count where they differ, so that what was written before them stays valid.
_LATER: dict[str, Any] = {
    "padding_side": "right",
    "truncation_side": "right",
    "split_special_tokens": False,
    "max_input_chars_per_word": LONGEST_WORD,
    "normalizer": None,
    "pre_tokenizer": None,
    "added_tokens": None,
    "words": "text",
}
DEFAULTS = {**_FIRST, **_LATER}
# What has no say in the ids that a text gets.
_WITHOUT_INFLUENCE = {
    "model_max_length",
    "clean_up_tokenization_spaces",
    "padding_side",
    "truncation_side",
}
ADDED_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def checked(values: Mapping[str, Any], where: object) -> dict[str, Any]:
    """All settings, with the default for what is missing or null.

    Args:
        values: Some or all of them; other keys are left out.
        where: Named in the message: the file they come from, or the class.

    Raises:
        ValueError: If a value is of a type that can't be meant.
    """
    settings: dict[str, Any] = {}
    for name, default in DEFAULTS.items():
        value = values.get(name)
        if value is None:
            settings[name] = default
            continue
        requirement, fits = _RULES[name]
        if not fits(value):
            raise ValueError(
                Errors.SE131(
                    where=where, name=name, requirement=requirement, value=value
                )
            )
        settings[name] = _plain(name, value)
    return settings


def written(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that a file has to name."""
    return {
        name: value
        for name, value in settings.items()
        if name in _FIRST or value != _LATER[name]
    }


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that decide which ids a text gets."""
    return {
        name: value
        for name, value in written(settings).items()
        if name not in _WITHOUT_INFLUENCE
    }


def _plain(name: str, value: Any) -> Any:
    """A value in the form in which it is kept, and written as JSON."""
    if isinstance(DEFAULTS[name], bool) or name == "strip_accents":
        return bool(value)
    if name == "never_split":
        return sorted(value) or None
    if name == "model_max_length":
        return NO_LIMIT if math.isinf(value) else int(value)
    if name == "added_tokens":
        return [dict(token) for token in value] or None
    return value


def _is_flag(value: Any) -> bool:
    # 1 is as clear as true; "false", which Python takes for true, is not.
    return isinstance(value, (bool, int)) and value in (0, 1)


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _are_strings(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset)) and all(
        map(_is_name, value)
    )


def _is_length(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and value >= 1


def _is_count(value: Any) -> bool:
    return _is_length(value) and isinstance(value, int) and value < 2**31


def _is_side(value: Any) -> bool:
    return value in ("left", "right")


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def _are_added(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_added, value))


def _is_added(value: Any) -> bool:
    if not isinstance(value, Mapping) or not _is_name(value.get("content")):
        return False
    number = value.get("id")
    is_id = number is None or (isinstance(number, int) and not isinstance(number, bool))
    return is_id and all(_is_flag(value.get(name, False)) for name in ADDED_FLAGS)


def _is_origin(value: Any) -> bool:
    return value in ("text", "spacy")


_SIDE = ('"left" or "right"', _is_side)
_OBJECT = ('an object with a "type", as in tokenizer.json', _is_object)
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **{name: (_FLAG, _is_flag) for name, v in DEFAULTS.items() if isinstance(v, bool)},
    "strip_accents": (f"{_FLAG}, or null", _is_flag),
    "never_split": ("a list of strings", _are_strings),
    **{name: ("a string that is not empty", _is_name) for name in SPECIAL_TOKENS},
    "wordpieces_prefix": ("a string", _is_string),
    "model_max_length": ("a number, 1 or more", _is_length),
    "padding_side": _SIDE,
    "truncation_side": _SIDE,
    "max_input_chars_per_word": ("a whole number, 1 or more", _is_count),
    "normalizer": _OBJECT,
    "pre_tokenizer": _OBJECT,
    "added_tokens": (
        'a list of objects with a "content" and flags that are true or false',
        _are_added,
    ),
    "words": ('"text" or "spacy"', _is_origin),
}
