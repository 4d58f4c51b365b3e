"""Which files of a repository on the hub are fetched, by what is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal

from ..weight_files import WEIGHT_FILES, weights_among

# What a caller will open: config.json alone; with the tokenizer's files; with the
# weights; both, and what goes along with weights; that, the generator beside them and
# the model card.
Wanted = Literal["config", "tokenizer", "model", "checkpoint", "all"]

CONFIG_NAME = "config.json"
GENERATOR_FOLDER = "generator"
VOCABULARIES = ("tokenizer.json", "vocab.txt")
TOKENIZER_FILES = (
    *VOCABULARIES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# Where there is no other vocabulary, they tell which kind of tokenizer it is.
SENTENCEPIECE_FILES = ("spiece.model", "spm.model", "sentencepiece.bpe.model")
# What says whose the weights are, and goes where they go; a table of calibration names
# the weights that it is for.
PAPERS = ("LICENSE*", "LICENCE*", "NOTICE*", "README.md", "calibration.json")
_ONLY_WITH_ALL = ("README.md", "generation_config.json")
# A listing comes from outside: no name in it may lead out of a folder, on any system.
_PLAIN_NAME = re.compile(rf"({GENERATOR_FOLDER}/)?(?!\.)[\w.@+, -]*[\w)]", re.ASCII)


def wanted_files(names: Iterable[str], wanted: Wanted) -> list[str]:
    """The files to fetch; weights in one format alone, and last.

    Args:
        names: Of all files of the repository. Those that could lead out of a folder are
            never chosen.
        wanted: What for.
    """
    plain = sorted(name for name in set(names) if _PLAIN_NAME.fullmatch(name))
    top = [name for name in plain if "/" not in name]
    chosen = _top_files(top, wanted)
    if wanted == "all":
        below = [PurePosixPath(name).name for name in plain if "/" in name]
        beside = _top_files(below, "checkpoint")
        chosen += [f"{GENERATOR_FOLDER}/{name}" for name in beside]
    weights = weights_among(chosen)
    return [name for name in chosen if name not in weights] + weights


def _top_files(names: Collection[str], wanted: Wanted) -> list[str]:
    fixed = [CONFIG_NAME]
    if wanted not in ("config", "model"):
        has_vocabulary = any(name in names for name in VOCABULARIES)
        fixed += TOKENIZER_FILES if has_vocabulary else SENTENCEPIECE_FILES
        fixed += () if has_vocabulary else TOKENIZER_FILES
    chosen = [name for name in fixed if name in names]
    if wanted in ("checkpoint", "all"):
        chosen += [n for n in names if any(fnmatchcase(n, p) for p in PAPERS)]
    if wanted == "all":
        chosen += [name for name in _ONLY_WITH_ALL if name in names]
    else:
        chosen = [name for name in chosen if name not in _ONLY_WITH_ALL]
    if wanted not in ("config", "tokenizer"):
        chosen += weights_among(names)
    return list(dict.fromkeys(chosen))


def has_weights(names: Iterable[str]) -> bool:
    """Whether some of the files are weights, not counting those of a generator."""
    return bool(weights_among(name for name in names if "/" not in name))


def is_index(name: str) -> bool:
    """Whether a file lists the parts of weights."""
    file = PurePosixPath(name).name
    return any(file == form.index for form in WEIGHT_FILES if form.index)


def with_parts(names: Iterable[str], index: str, content: bytes) -> list[str]:
    """The files to fetch, with the parts that an index names in place of all.

    Args:
        names: What ``wanted_files`` gave.
        index: Name of the index among them.
        content: Of the index. Where it is no index nothing changes; reading the
            checkpoint will say what is wrong.
    """
    names = list(names)
    try:
        named = set(json.loads(content)["weight_map"].values())
        folder = PurePosixPath(index).parent
        parts = sorted((folder / part).as_posix() for part in named)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return names
    others = {
        name
        for name in weights_among(names)
        if PurePosixPath(name).parent == folder and name != index
    }
    return [name for name in names if name not in others] + parts
