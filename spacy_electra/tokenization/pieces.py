"""A vocabulary and the tokens that were added to it: what makes sense, and the ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import Errors
from .settings import ADDED_FLAGS, SPECIAL_TOKENS

# No vocabulary is near it; a larger id would only take memory.
LARGEST_ID = 10_000_000


def check_vocabulary(vocab: Mapping[str, int], where: object) -> None:
    """Refuse ids that are none, and pieces that are no text.

    Args:
        vocab: Id of each piece.
        where: Named in the message.

    Raises:
        ValueError: If there is one.
    """
    for token, number in vocab.items():
        is_id = isinstance(number, int) and not isinstance(number, bool)
        if not is_id or not 0 <= number < LARGEST_ID:
            raise ValueError(
                Errors.SE134(where=where, token=token, id=number, largest=LARGEST_ID)
            )
    try:
        "".join(vocab).encode("utf8")
    except UnicodeEncodeError as error:
        raise ValueError(Errors.SE130(file=where, error=error)) from error


def place_added(
    pieces: Mapping[str, int], settings: Mapping[str, Any], where: object
) -> tuple[dict[str, int], dict[str, Any]]:
    """Give an id to each added token, and check the tokens that have a name.

    Args:
        pieces: What WordPiece makes words of, by id.
        settings: All of them. An added token without an id has that of its piece, or
            else the next one after all others.
        where: Named in messages.

    Returns:
        Id of each piece and added token; the settings, with these ids. Special tokens
        that need no flags beside their names are no added tokens any more.

    Raises:
        ValueError: If an id is given away already, or a special token is missing.
    """
    vocab = dict(pieces)
    added = [dict(token) for token in settings["added_tokens"] or ()]
    # Those that have an id first: the next one comes after all of them.
    for token in sorted(added, key=lambda token: token.get("id") is None):
        content = token["content"]
        number = token.get("id", vocab.get(content))
        if number is None:
            number = max(vocab.values(), default=-1) + 1
        token["id"] = vocab.setdefault(content, number)
        if token["id"] != number:
            raise ValueError(
                Errors.SE135(
                    where=where, token=content, id=number, other=vocab[content]
                )
            )
    check_vocabulary(vocab, where)
    _check_taken(vocab, pieces, where)
    names = [settings[name] for name in SPECIAL_TOKENS]
    missing = [name for name in names if name not in vocab]
    if missing:
        raise ValueError(Errors.SE100(where=where, missing=", ".join(missing)))
    kept = [
        _with_flags(token)
        for token in sorted(added, key=lambda token: token["id"])
        if not (_is_usual(token, names) and token["content"] in pieces)
    ]
    return vocab, {**settings, "added_tokens": kept or None}


def _with_flags(token: Mapping[str, Any]) -> dict[str, Any]:
    """A token with all of its flags, those that the library would give it."""
    special = bool(token.get("special"))
    usual = {name: False for name in ADDED_FLAGS}
    usual.update(normalized=not special, special=special)
    flags = {name: bool(token.get(name, value)) for name, value in usual.items()}
    return {"id": token["id"], "content": token["content"], **flags}


def _check_taken(
    vocab: Mapping[str, int], pieces: Mapping[str, int], where: object
) -> None:
    """Refuse an added token that has the id of another token."""
    if len(vocab) == len(pieces):
        return
    owners = {number: token for token, number in pieces.items()}
    for token, number in vocab.items():
        other = owners.setdefault(number, token)
        if token not in pieces and other != token:
            raise ValueError(
                Errors.SE136(where=where, token=token, id=number, other=other)
            )


def _is_usual(token: Mapping[str, Any], names: list[str]) -> bool:
    """Whether it is a special token with the flags that these have anyway."""
    others = ("single_word", "lstrip", "rstrip", "normalized")
    flagged = any(token.get(name) for name in others)
    return token["content"] in names and not flagged
