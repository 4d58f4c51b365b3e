"""The files of a tokenizer: reading a folder of Transformers or ours, writing one."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ..errors import Errors, Warnings
from ..json_file import read_json_object
from .backend import word_parts
from .kinds import check_kind, check_pieces, kind_of_file, missing_vocabulary
from .pieces import check_vocabulary, place_added
from .settings import ADDED_FLAGS, DEFAULTS, SPECIAL_TOKENS, checked, written

VOCAB, TOKENIZER, SETTINGS = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
SPECIAL_TOKENS_MAP, ADDED_TOKENS = "special_tokens_map.json", "added_tokens.json"
MODEL_CONFIG = "config.json"
_BOM = "\ufeff"
_ADDITIONAL = ("additional_special_tokens", "extra_special_tokens")
_TOKEN_KEYS = ("content", "id", *ADDED_FLAGS)

Vocabulary = dict[str, int]


def read_folder(
    folder: Path, changes: Mapping[str, Any]
) -> tuple[Vocabulary, dict[str, Any]]:
    """Pieces and settings of a folder.

    A vocab.txt alone is enough, and so is a tokenizer.json; what tokenizer_config.json
    says goes before what tokenizer.json says.

    Args:
        folder: With at least one of these files.
        changes: Settings that go before what any file says.

    Returns:
        The pieces that WordPiece makes words of, by id; all settings.

    Raises:
        FileNotFoundError: If there is neither file.
        ValueError: If a file is broken, or it is another kind of tokenizer.
    """
    config = read_json(folder / SETTINGS)
    names = read_json(folder / SPECIAL_TOKENS_MAP)
    has_file = _is_there(folder / TOKENIZER)
    words = changes.get("words") or config.get("words") or "text"
    settings = check_kind(
        config,
        read_json(folder / MODEL_CONFIG),
        folder,
        has_file=has_file,
        words=words,
    )
    content: dict[str, Any] = {}
    if has_file:
        content = read_json(folder / TOKENIZER)
        vocab, own = _from_tokenizer_json(content, folder / TOKENIZER)
        settings = {**own, **settings}
    elif _is_there(folder / VOCAB):
        vocab = {token: n for n, token in enumerate(read_vocab(folder / VOCAB))}
    else:
        raise missing_vocabulary(folder)
    for values in (names, config):
        settings.update(_known(values))
    settings.update(changes)
    settings = checked(settings, folder / (SETTINGS if config else TOKENIZER))
    check_vocabulary(vocab, folder)
    check_pieces(vocab, settings, folder)
    if not changes.get("added_tokens"):
        sources = (content, names, config, read_json(folder / ADDED_TOKENS))
        settings["added_tokens"] = _added_tokens(sources, settings, folder)
    _, settings = place_added(vocab, settings, folder)
    _check_parts(settings, folder / TOKENIZER)
    return vocab, _without_unknown(settings, vocab, folder)


def _check_parts(settings: Mapping[str, Any], file: Path) -> None:
    try:
        word_parts(settings)
    except Exception as error:  # the library raises nothing more special
        raise ValueError(Errors.SE130(file=file, error=error)) from error


def _without_unknown(
    settings: dict[str, Any], vocab: Vocabulary, folder: Path
) -> dict[str, Any]:
    """Settings whose ``never_split`` lists pieces alone; warns of the rest.

    Transformers' fast tokenizers ignore the whole list, so checkpoints have such.
    """
    listed = settings["never_split"] or ()
    unknown = [token for token in listed if token not in vocab]
    if not unknown:
        return settings
    names = ", ".join(map(repr, unknown))
    warnings.warn(Warnings.SW130(folder=folder, unknown=names), stacklevel=4)
    kept = [token for token in listed if token in vocab]
    return {**settings, "never_split": kept or None}


def write_folder(
    folder: Path,
    pieces: Vocabulary,
    vocab: Vocabulary,
    settings: Mapping[str, Any],
    backend: Tokenizer,
) -> None:
    """Write vocab.txt, tokenizer.json and tokenizer_config.json, each whole or not.

    Args:
        folder: Made where it is missing.
        pieces: What WordPiece makes words of.
        vocab: These and the added tokens.
        settings: All of them.
        backend: Written as tokenizer.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / VOCAB, vocab_text(pieces))
    _write(folder / TOKENIZER, backend.to_str())
    values = written(settings)
    added = values.pop("added_tokens", None) or []
    if added:
        # As Transformers writes them, and reads them.
        flags = [{k: v for k, v in t.items() if k != "id"} for t in added]
        ids = [vocab[token["content"]] for token in added]
        values["added_tokens_decoder"] = {
            str(n): f for n, f in zip(ids, flags, strict=True)
        }
        specials = {settings[name] for name in SPECIAL_TOKENS}
        values["additional_special_tokens"] = [
            token["content"]
            for token in added
            if token.get("special") and token["content"] not in specials
        ]
    values["tokenizer_class"] = "ElectraTokenizer"
    text = json.dumps(values, indent=2, ensure_ascii=False)
    _write(folder / SETTINGS, text + "\n")


def _write(file: Path, text: str) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    # Bytes: nothing may turn the ends of lines into those of the system.
    part.write_bytes(text.encode("utf8"))
    part.replace(file)


def read_vocab(file: Path) -> list[str]:
    r"""The tokens of a vocab.txt: a line is an id.

    Lines end at \n or \r\n alone. Other characters at which Python's ``splitlines``
    cuts, such as U+2028, are pieces of real vocabularies.

    Raises:
        ValueError: If the file can't be read as text.
    """
    text = _read_text(file).removeprefix(_BOM)
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if all(line.endswith("\r") for line in lines):
        return [line[:-1] for line in lines]
    # Where the ends of lines are mixed, a line of a mere \r is that piece.
    return [line if line == "\r" else line.removesuffix("\r") for line in lines]


def vocab_text(vocab: Vocabulary) -> str:
    """The content of a vocab.txt; ``read_vocab`` gives the same ids to the same tokens.

    A line is an id, so each id that no token has, or one that can't stand on a line of
    its own, gets a line as well, of a name that is not taken.
    """
    tokens = {number: token for token, number in vocab.items()}
    lines = []
    for number in range(max(vocab.values(), default=-1) + 1):
        token = tokens.get(number)
        if token is None or "\n" in token or (token != "\r" and token.endswith("\r")):
            token = f"[unused{number}]"
            while token in vocab:
                token = f"[unused{token[7:-1]}_]"
        lines.append(token)
    # The first of two marks at the beginning is that of the file.
    mark = _BOM if lines and lines[0].startswith(_BOM) else ""
    return mark + "".join(f"{line}\n" for line in lines)


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file, {} where there is no file.

    Raises:
        ValueError: If it can't be read, or is no JSON object.
    """
    return read_json_object(file, Errors.SE130) if _is_there(file) else {}


def _is_there(file: Path) -> bool:
    """Whether there is a file, whatever it is; a link to nowhere counts."""
    return os.path.lexists(file)


def _read_text(file: Path) -> str:
    # A pipe or a device under the name of a file would block, or never end.
    if not file.is_file():
        raise ValueError(Errors.SE130(file=file, error="it is no regular file"))
    try:
        return file.read_bytes().decode("utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(Errors.SE130(file=file, error=error)) from error


def _from_tokenizer_json(
    content: Mapping[str, Any], file: Path
) -> tuple[Vocabulary, dict[str, Any]]:
    """Vocabulary and settings of a tokenizer.json."""
    kind = kind_of_file(content)
    if kind is not None:
        raise ValueError(Errors.SE104(file=file, kind=kind))
    model = content["model"]
    settings = {
        "unk_token": model.get("unk_token"),
        "wordpieces_prefix": model.get("continuing_subword_prefix"),
        "max_input_chars_per_word": model.get("max_input_chars_per_word"),
        **_word_settings(content),
    }
    return dict(model["vocab"]), settings


def _word_settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """How a tokenizer.json normalizes text and cuts it into words."""
    normalizer, cutter = content.get("normalizer"), content.get("pre_tokenizer")
    kinds = [
        part.get("type") if isinstance(part, Mapping) else part
        for part in (normalizer, cutter)
    ]
    if kinds == [None, "WhitespaceSplit"]:
        return {"do_basic_tokenize": False}
    settings: dict[str, Any] = {}
    if kinds[0] == "BertNormalizer":
        assert isinstance(normalizer, Mapping)
        settings = {
            "do_lower_case": normalizer.get("lowercase"),
            "strip_accents": normalizer.get("strip_accents"),
            "tokenize_chinese_chars": normalizer.get("handle_chinese_chars"),
            "clean_text": normalizer.get("clean_text"),
        }
    else:
        settings["normalizer"] = normalizer or {"type": "Sequence", "normalizers": []}
    if kinds[1] != "BertPreTokenizer":
        settings["pre_tokenizer"] = cutter or {"type": "Sequence", "pretokenizers": []}
    return settings


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings of a JSON file that the class takes; null is its default."""
    known = {name: values[name] for name in DEFAULTS if values.get(name) is not None}
    known.pop("added_tokens", None)
    if "strip_accents" in values:
        # Here null says something: to do what do_lower_case says.
        known["strip_accents"] = values["strip_accents"]
    if "model_max_length" not in known and values.get("max_len") is not None:
        known["model_max_length"] = values["max_len"]
    for name in SPECIAL_TOKENS:
        # A special token may be written with its flags, as an object.
        if isinstance(known.get(name), Mapping):
            known[name] = known[name].get("content")
    return known


def _added_tokens(
    sources: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], folder: Path
) -> list[dict[str, Any]]:
    """Tokens that stay whole, from all the places where files name them.

    Args:
        sources: Contents of tokenizer.json, special_tokens_map.json,
            tokenizer_config.json and added_tokens.json.
        settings: Name the five special tokens.
        folder: Named in messages.
    """
    file, names, config, ids = sources
    found: dict[str, dict[str, Any]] = {}
    for token in _many(file, "added_tokens", folder / TOKENIZER):
        _add(found, token, folder / TOKENIZER)
    for values, source in (
        (names, folder / SPECIAL_TOKENS_MAP),
        (config, folder / SETTINGS),
    ):
        for key in SPECIAL_TOKENS:
            if isinstance(values.get(key), Mapping):
                _add(found, values[key], source, normalized=False, special=True)
        for key in _ADDITIONAL:
            for token in _many(values, key, source):
                known = found.get(token, {}) if isinstance(token, str) else {}
                flags = {"normalized": False, **known, "special": True}
                _add(found, token, source, **flags)
    for content, number in ids.items():
        _add(found, content, folder / ADDED_TOKENS, id=number)
        found[content].setdefault("normalized", True)
    for number, token in _decoder(config, folder / SETTINGS).items():
        _add(found, token, folder / SETTINGS, id=number)
    return list(found.values())


def _decoder(config: Mapping[str, Any], file: Path) -> Mapping[str, Any]:
    name = "added_tokens_decoder"
    value = config.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(
            Errors.SE131(where=file, name=name, requirement="an object", value=value)
        )
    return value or {}


def _many(values: Mapping[str, Any], key: str, file: Path) -> list[Any]:
    """The values of a list, or those of an object."""
    value = values.get(key)
    if isinstance(value, Mapping):
        return list(value.values())
    if value is not None and not isinstance(value, list):
        requirement = "a list or an object"
        raise ValueError(
            Errors.SE131(where=file, name=key, requirement=requirement, value=value)
        )
    return value or []


def _add(
    found: dict[str, dict[str, Any]], token: Any, file: Path, **flags: Any
) -> None:
    """Note a token that a file names, by its string or with its flags."""
    own = token if isinstance(token, Mapping) else {"content": token}
    flags.update({k: own[k] for k in _TOKEN_KEYS if own.get(k) is not None})
    number = flags.get("id")
    if isinstance(number, str) and number.isdecimal() and len(number) < 20:
        flags["id"] = int(number)
    checked({"added_tokens": [flags]}, file)
    found[flags["content"]] = {**found.get(flags["content"], {}), **flags}
