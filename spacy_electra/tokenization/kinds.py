"""Which tokenizers are WordPiece over plain text; the others are refused by name.

A vocabulary alone does not tell: those of Japanese checkpoints look like any other, but
hold the pieces of words that another program cut. Over plain text nearly every word
would be unknown.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import Errors, Warnings, listed

# Classes of Transformers that cut text as BERT does, "Fast" or not.
_WORDPIECE = {
    "BertTokenizer",
    "ConvBertTokenizer",
    "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer",
    "DPRReaderTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "FunnelTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MobileBertTokenizer",
    "RealmTokenizer",
    "RetriBertTokenizer",
    "SqueezeBertTokenizer",
}
# Classes of anything that a tokenizer.json describes.
_BY_FILE = {"PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"}
_JAPANESE = "BertJapaneseTokenizer"
# SudachiTra's: they normalize otherwise than Transformers' class, and may put other
# forms of the words into the vocabulary than those of the text.
_SUDACHITRA = ("ElectraSudachipyTokenizer", "BertSudachipyTokenizer")
_SENTENCEPIECE_FILES = ("spiece.model", "spm.model", "sentencepiece.bpe.model")
_SENTENCEPIECE_KEYS = ("spm_file", "sp_model_kwargs")
# Fewer pieces tell nothing about a vocabulary.
_ENOUGH_PIECES = 100
# What BERT takes for a word each: Chinese characters, those of Japanese and Hanja too.
_CHINESE = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f]"
)
# Some vocabularies have a few such words, which do no harm.
_MANY_WORDS = 0.05


def check_kind(
    config: Mapping[str, Any],
    model_config: Mapping[str, Any],
    folder: Path,
    *,
    has_file: bool,
    words: str,
) -> dict[str, Any]:
    """Refuse a tokenizer that is another kind by what its configs say.

    Args:
        config: The content of tokenizer_config.json, {} where there is none.
        model_config: The content of config.json, which may name the class as well.
        folder: Where they are, for the message.
        has_file: Whether there is a tokenizer.json, which says how text is cut.
        words: "text", or "spacy" where spaCy's tokens are the words.

    Returns:
        Settings that the kind implies.

    Raises:
        ValueError: If it is no WordPiece; or if another program cuts the words and
            ``words`` is "text".
    """
    name = _class_of(config) or _class_of(model_config)
    known = {**model_config, **{k: v for k, v in config.items() if v is not None}}
    subwords = known.get("subword_tokenizer_type") or "wordpiece"
    if any(known.get(key) is not None for key in _SENTENCEPIECE_KEYS):
        subwords = "sentencepiece"
    if subwords != "wordpiece" or known.get("do_subword_tokenize") is False:
        kind = f"{subwords} pieces" if subwords != "wordpiece" else "whole words"
        raise ValueError(Errors.SE132(folder=folder, kind=f"{name or 'it'} ({kind})"))
    cutter = known.get("word_tokenizer_type")
    if cutter is None and name in _SUDACHITRA:
        cutter = "sudachipy"
    if known.get("do_word_tokenize") is False:
        cutter = "none"
    if cutter not in (None, "basic"):
        if words != "spacy":
            raise ValueError(Errors.SE133(folder=folder, cutter=cutter))
        if cutter == "sudachipy":
            return _as_sudachitra(known, folder)
        return _as_japanese(known, cutter)
    plain = (name or "ElectraTokenizer").removesuffix("Fast")
    if name == _JAPANESE:
        # Its class has other defaults than BERT's.
        return {"do_lower_case": False, "tokenize_chinese_chars": False}
    if plain not in _WORDPIECE and not (has_file and name in _BY_FILE):
        raise ValueError(Errors.SE132(folder=folder, kind=name))
    return {}


def _class_of(config: Mapping[str, Any]) -> str | None:
    """The class that a config names; code of a repository's own goes first."""
    own = config.get("auto_map")
    own = own.get("AutoTokenizer") if isinstance(own, Mapping) else None
    names = own if isinstance(own, (list, tuple)) else [own]
    name = next((name for name in names if name), config.get("tokenizer_class"))
    return None if name is None else str(name).rsplit(".", 1)[-1]


def _as_japanese(known: Mapping[str, Any], cutter: object) -> dict[str, Any]:
    """What Transformers' class does to a word before it cuts it into pieces."""
    own = known.get(f"{cutter}_kwargs")
    # Each way to cut words may be told to leave the text as it is.
    normalizes = not isinstance(own, Mapping) or own.get("normalize_text", True)
    return _words(nfkc=bool(normalizes), lowercase=bool(known.get("do_lower_case")))


def _as_sudachitra(known: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same of the classes of SudachiTra; warns of words in another form."""
    form = known.get("word_form_type") or "surface"
    if form != "surface":
        warnings.warn(Warnings.SW148(folder=folder, form=form), stacklevel=5)
    return _words(
        nfkc=bool(known.get("do_nfkc")), lowercase=bool(known.get("do_lower_case"))
    )


def _words(*, nfkc: bool, lowercase: bool) -> dict[str, Any]:
    """Settings of words that another program cuts."""
    normalizers = [{"type": "NFKC"}] * nfkc + [{"type": "Lowercase"}] * lowercase
    return {
        "do_lower_case": False,
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": {"type": "WhitespaceSplit"},
    }


def check_pieces(
    vocab: Mapping[str, int], settings: Mapping[str, Any], folder: Path
) -> None:
    """Refuse a vocabulary that can't be WordPiece's by the look of its pieces.

    Raises:
        ValueError: If no piece continues a word, and they are either all characters or
            marked as SentencePiece marks the beginning of words; or if many are words
            of several Chinese characters, and the tokenizer makes each a word.
    """
    prefix = settings["wordpieces_prefix"]
    _check_chinese(vocab, settings, folder)
    if any(piece.startswith(prefix) and len(piece) > len(prefix) for piece in vocab):
        return
    # Special tokens and the like stand in brackets.
    pieces = [piece for piece in vocab if piece[:1] not in ("[", "<")]
    if len(pieces) < _ENOUGH_PIECES:
        return
    marked = sum(piece.startswith("\u2581") for piece in pieces)
    if marked > len(pieces) / 10:
        raise ValueError(Errors.SE132(folder=folder, kind="SentencePiece, by its ▁"))
    if all(len(piece) <= 1 for piece in pieces):
        raise ValueError(Errors.SE132(folder=folder, kind="a character tokenizer"))


def _check_chinese(
    vocab: Mapping[str, int], settings: Mapping[str, Any], folder: Path
) -> None:
    """Refuse words of Chinese characters where the tokenizer never makes one.

    A Japanese vocabulary without its tokenizer_config.json looks like any other.
    """
    makes_words = (
        settings["words"] == "spacy"
        or settings["normalizer"] is not None
        or not (settings["do_basic_tokenize"] and settings["tokenize_chinese_chars"])
    )
    if makes_words or len(vocab) < _ENOUGH_PIECES:
        return
    prefix = settings["wordpieces_prefix"]
    pieces = (piece.removeprefix(prefix) for piece in vocab)
    words = [piece for piece in pieces if len(piece) > 1 and _CHINESE.search(piece)]
    if len(words) > _MANY_WORDS * len(vocab):
        share = len(words) / len(vocab)
        raise ValueError(Errors.SE148(folder=folder, share=share, words=listed(words)))


def kind_of_file(content: Mapping[str, Any]) -> str | None:
    """What a tokenizer.json holds that is no WordPiece, or None."""
    model = content.get("model")
    if not isinstance(model, Mapping):
        # Keras writes its tokenizer under the same name.
        return str(content.get("class_name") or "without a model")
    kind = model.get("type")
    if kind is None:
        kind = "BPE" if "merges" in model else "WordPiece"
    if kind == "WordPiece" and not isinstance(model.get("vocab"), Mapping):
        kind = "WordPiece without a vocabulary"
    return None if kind == "WordPiece" else str(kind)


def missing_vocabulary(folder: Path) -> Exception:
    """The error for a folder without a vocabulary that could be used."""
    others = [name for name in _SENTENCEPIECE_FILES if (folder / name).exists()]
    if others:
        kind = f"SentencePiece ({', '.join(others)})"
        return ValueError(Errors.SE132(folder=folder, kind=kind))
    return FileNotFoundError(Errors.SE103(path=folder))
