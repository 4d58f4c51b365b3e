"""The tokenizer of the `tokenizers` library that does what the settings say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer, Normalizer
from tokenizers.pre_tokenizers import (
    BertPreTokenizer,
    PreTokenizer,
    WhitespaceSplit,
)
from tokenizers.processors import TemplateProcessing

from .settings import ADDED_FLAGS, SPECIAL_TOKENS

Added = Sequence[Mapping[str, Any]]


def make_backend(
    pieces: dict[str, int], added: Added, settings: Mapping[str, Any]
) -> Tokenizer:
    """Build it.

    Args:
        pieces: What WordPiece makes words of.
        added: Tokens that stay whole, each with its content, id and flags.
        settings: All of them, checked.
    """
    backend = _backend(pieces, added, settings)
    if any(backend.token_to_id(token["content"]) != token["id"] for token in added):
        # The library numbers new tokens from the size of the vocabulary on. Where ids
        # have gaps only its vocabulary can give a token the id that it has.
        others = {token["content"]: token["id"] for token in added}
        backend = _backend({**pieces, **others}, added, settings)
    return backend


def _backend(
    pieces: dict[str, int], added: Added, settings: Mapping[str, Any]
) -> Tokenizer:
    backend = Tokenizer(
        WordPiece(
            pieces,
            unk_token=settings["unk_token"],
            continuing_subword_prefix=settings["wordpieces_prefix"],
            max_input_chars_per_word=settings["max_input_chars_per_word"],
        )
    )
    _cut_words(backend, settings)
    flags = {
        token["content"]: {name: token[name] for name in ADDED_FLAGS} for token in added
    }
    names = [settings[name] for name in SPECIAL_TOKENS]
    backend.add_special_tokens(
        [AddedToken(name, **{**flags.get(name, {}), "special": True}) for name in names]
    )
    backend.add_tokens(
        [
            AddedToken(token, single_word=True, normalized=False)
            for token in settings["never_split"] or ()
            if token not in flags
        ]
    )
    for token in added:
        content = token["content"]
        if content not in names:
            backend.add_tokens([AddedToken(content, **flags[content])])
    backend.encode_special_tokens = settings["split_special_tokens"]
    cls, sep = settings["cls_token"], settings["sep_token"]
    backend.post_processor = TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[
            (cls, backend.token_to_id(cls)),
            (sep, backend.token_to_id(sep)),
        ],
    )
    backend.decoder = decoders.WordPiece(
        prefix=settings["wordpieces_prefix"],
        cleanup=settings["clean_up_tokenization_spaces"],
    )
    return backend


def _cut_words(backend: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Set how text is normalized and cut into words."""
    if settings["do_basic_tokenize"]:
        backend.normalizer = BertNormalizer(
            clean_text=settings["clean_text"],
            handle_chinese_chars=settings["tokenize_chinese_chars"],
            strip_accents=settings["strip_accents"],
            lowercase=settings["do_lower_case"],
        )
        backend.pre_tokenizer = BertPreTokenizer()
    else:
        backend.pre_tokenizer = WhitespaceSplit()
    normalizer, pre_tokenizer = word_parts(settings)
    if normalizer is not None:
        backend.normalizer = normalizer
    if pre_tokenizer is not None:
        backend.pre_tokenizer = pre_tokenizer


def word_parts(
    settings: Mapping[str, Any],
) -> tuple[Normalizer | None, PreTokenizer | None]:
    """Normalizer and pre-tokenizer that the settings give in full, else None.

    Raises:
        Exception: Of the library, if it knows no such part.
    """
    parts = {
        name: settings[name]
        for name in ("normalizer", "pre_tokenizer")
        if settings[name] is not None
    }
    if not parts:
        return None, None
    # The library makes these of JSON only as parts of a whole tokenizer.
    read = Tokenizer.from_str(json.dumps({**_EMPTY, **parts}))
    return read.normalizer, read.pre_tokenizer


_EMPTY: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": None,
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {},
    },
}
