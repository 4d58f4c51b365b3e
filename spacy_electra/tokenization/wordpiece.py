"""ELECTRA's WordPiece tokenizer, built on the `tokenizers` library."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors
from ..source import resolve_source
from .backend import make_backend
from .batch_encoding import BatchEncoding, Encoding
from .calls import CalledWithTexts
from .chunks import ChunkCache, cuts_at_blanks, ids_and_offsets
from .folder import SETTINGS, TOKENIZER, VOCAB, read_folder, write_folder
from .inputs import Text
from .pieces import check_vocabulary, place_added
from .settings import DEFAULTS, LONGEST_WORD, SPECIAL_TOKENS, checked, deciding

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "SETTINGS",
    "SPECIAL_TOKENS",
    "TOKENIZER",
    "VOCAB",
    "BatchEncoding",
    "ElectraTokenizer",
    "Encoding",
]

_SAVED = "The saved tokenizer"
# What a decoded text does not leave apart, in this order, as Transformers has it.
_JOINED = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


class ElectraTokenizer(CalledWithTexts):
    """WordPiece with BERT's normalization, the options of Hugging Face's classes.

    Gives the ids and offsets of ``transformers.ElectraTokenizerFast``, by the same
    calls. It pads and truncates where it is asked to, and never else.

    Args:
        vocab: Id of each piece; it holds the five special tokens.
        do_lower_case: Whether to lower-case (and, unless told otherwise, to strip
            accents).
        do_basic_tokenize: Whether to normalize and to split at punctuation; without
            it, text is split at white space alone.
        never_split: Pieces of the vocabulary that are left whole and as they are
            wherever they stand as a word, beside white space or punctuation (Hugging
            Face's slow tokenizer wants white space around them).
        unk_token: Stands for a word that no pieces make up.
        sep_token: Ends a text.
        pad_token: Fills a batch.
        cls_token: Begins a sequence.
        mask_token: Stands for a hidden piece.
        tokenize_chinese_chars: Whether each Chinese character is a word.
        strip_accents: Whether to remove accents; None does what ``do_lower_case`` says.
        clean_text: Whether to remove control characters and to make every white space
            a blank.
        wordpieces_prefix: What begins a piece that continues a word.
        clean_up_tokenization_spaces: Whether ``decode`` removes the blanks before
            punctuation.
        model_max_length: Most pieces of a sequence. ``truncation=True`` cuts to it;
            nothing else does.
        padding_side: "right" or "left".
        truncation_side: "right" or "left": which end is cut off.
        split_special_tokens: Whether a special token in a text is cut like any word.
        max_input_chars_per_word: A longer word is unknown.
        normalizer: As in a tokenizer.json, in place of BERT's normalization.
        pre_tokenizer: As in a tokenizer.json, in place of BERT's way to cut text into
            words.
        added_tokens: Tokens that stay whole: each with its "content", an "id" where it
            has one, and the flags "single_word", "lstrip", "rstrip", "normalized" and
            "special" as in a tokenizer.json.
        words: "text", or "spacy" if the words are given, as by a spaCy pipeline whose
            tokens are the words. It is for vocabularies of languages where another
            program cuts the words, as in Japanese.

    Raises:
        ValueError: If the vocabulary lacks a special token or one of ``never_split``,
            or a setting can't be.
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        *,
        do_lower_case: bool = True,
        do_basic_tokenize: bool = True,
        never_split: Iterable[str] | None = None,
        unk_token: str = "[UNK]",
        sep_token: str = "[SEP]",
        pad_token: str = "[PAD]",
        cls_token: str = "[CLS]",
        mask_token: str = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        clean_text: bool = True,
        wordpieces_prefix: str = "##",
        clean_up_tokenization_spaces: bool = True,
        model_max_length: float = 512,
        padding_side: str = "right",
        truncation_side: str = "right",
        split_special_tokens: bool = False,
        max_input_chars_per_word: int = LONGEST_WORD,
        normalizer: Mapping[str, Any] | None = None,
        pre_tokenizer: Mapping[str, Any] | None = None,
        added_tokens: Sequence[Mapping[str, Any]] | None = None,
        words: str = "text",
    ) -> None:
        values = {
            "do_lower_case": do_lower_case,
            "do_basic_tokenize": do_basic_tokenize,
            "never_split": None if never_split is None else list(never_split),
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
            "clean_text": clean_text,
            "wordpieces_prefix": wordpieces_prefix,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
            "model_max_length": model_max_length,
            "padding_side": padding_side,
            "truncation_side": truncation_side,
            "split_special_tokens": split_special_tokens,
            "max_input_chars_per_word": max_input_chars_per_word,
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "added_tokens": added_tokens,
            "words": words,
        }
        settings = checked(values, "ElectraTokenizer")
        super().__init__(*place_added(vocab, settings, "The vocabulary"))
        # What WordPiece makes words of: an added token stays whole and is no part.
        self.pieces = dict(vocab)
        listed = self.settings["never_split"] or ()
        unknown = [token for token in listed if token not in self.vocab]
        if unknown:
            raise ValueError(Errors.SE101(unknown=", ".join(map(repr, unknown))))
        added = self.settings["added_tokens"] or ()
        self.backend = make_backend(self.pieces, added, self.settings)

    @property
    def takes_words(self) -> bool:
        """Whether words have to be given, as spaCy's tokens are."""
        return bool(self.settings["words"] == "spacy")

    def cut_texts(self, texts: Sequence[Text], is_split: bool) -> list[Encoding]:
        """Pieces of texts without special ones around, with the words they are from."""
        if not is_split:
            self._check_takes_text()
        found = []
        for encoded in self._encode(texts, is_pretokenized=is_split):
            # Without special pieces around the text, each piece belongs to a word.
            words = np.array(encoded.word_ids, dtype=np.int64)
            nothing = np.zeros(len(words), dtype=np.int64)
            found.append(
                Encoding(
                    ids=np.array(encoded.ids, dtype=np.int64),
                    offsets=np.array(encoded.offsets, dtype=np.int64).reshape(-1, 2),
                    token_type_ids=nothing,
                    special_tokens_mask=nothing,
                    words=words,
                )
            )
        return found

    def _check_takes_text(self) -> None:
        if self.takes_words:
            raise ValueError(Errors.SE143())

    def _encode(self, texts: Sequence[Text], **options: Any) -> list[Any]:
        """What the library gives for texts.

        Raises:
            ValueError: If one is no text.
        """
        texts = list(texts)
        try:
            encoded: list[Any] = self.backend.encode_batch(
                texts, add_special_tokens=False, **options
            )
            return encoded
        except TypeError as error:
            raise _unfit(texts, error) from error

    def encode_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenize many texts at once, without special pieces around them."""
        self._check_takes_text()
        encoded = self._encode(texts)
        ids, offsets = ids_and_offsets(encoded)
        nothing = np.zeros(len(ids), dtype=np.int64)
        ends = np.cumsum([0, *map(len, encoded)]).tolist()
        parts = [slice(*bounds) for bounds in pairwise(ends)]
        return [
            Encoding(ids[own], offsets[own], nothing[own], nothing[own])
            for own in parts
        ]

    @cached_property
    def chunks(self) -> ChunkCache | None:
        """Pieces by chunk, for texts that can be cut at blanks; None where they can't.

        These are the pieces of the whole text.
        """
        can = not self.takes_words and cuts_at_blanks(self.settings)
        return ChunkCache(self._encode) if can else None

    def encode_words(self, texts: Sequence[Sequence[str]]) -> list[Encoding]:
        """As ``encode_batch``, of texts that are lists of words.

        Offsets count from the beginning of a word, and ``words`` says which it is.
        """
        return self.cut_texts([list(text) for text in texts], is_split=True)

    def encode_ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Only the ids of ``encode_batch``, at less cost."""
        self._check_takes_text()
        backend = self.backend
        # Without offsets, where the library knows how.
        encode = getattr(backend, "encode_batch_fast", backend.encode_batch)
        texts = list(texts)
        try:
            encodings = encode(texts, add_special_tokens=False)
        except TypeError as error:
            raise _unfit(texts, error) from error
        return [np.array(encoded.ids, dtype=np.int64) for encoded in encodings]

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides which ids a text gets (SHA-256, in hex)."""
        content = [sorted(deciding(self.settings).items()), sorted(self.vocab.items())]
        return hashlib.sha256(json.dumps(content).encode("utf8")).hexdigest()

    def normalize(self, text: str) -> str:
        """A text as it is before it is cut into words."""
        normalizer = self.backend.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text, as strings."""
        self._check_takes_text()
        tokens: list[str] = self._encode([text])[0].tokens
        return tokens

    def decode(
        self,
        ids: int | Iterable[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """Text of pieces: continuations joined, words with a blank between them.

        Args:
            ids: Piece ids.
            skip_special_tokens: Whether to leave out the special pieces.
            clean_up_tokenization_spaces: Whether to remove the blanks before
                punctuation; by default what the tokenizer's setting says.
        """
        numbers = ids if isinstance(ids, Iterable) else [ids]
        text: str = self.backend.decode(
            [int(number) for number in numbers], skip_special_tokens=skip_special_tokens
        )
        clean = clean_up_tokenization_spaces
        if self.settings["clean_up_tokenization_spaces"] if clean is None else clean:
            for apart, together in _JOINED:
                text = text.replace(apart, together)
        return text

    def batch_decode(
        self,
        sequences: Iterable[Iterable[int]],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """``decode`` of each of many."""
        return [
            self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces)
            for ids in sequences
        ]

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        **settings: Any,
    ) -> Self:
        """Open the tokenizer of a checkpoint, of Hugging Face's layout or ours.

        A vocab.txt alone is enough, and so is a tokenizer.json; what
        tokenizer_config.json says goes before what tokenizer.json says. Any padding or
        truncation that a tokenizer.json asks for is dropped.

        Args:
            source: A directory, the name of a bundled checkpoint, or an id on the
                Hugging Face hub.
            revision: Branch, tag or commit on the hub; the id may name it as well:
                "owner/name@revision". No weights are fetched.
            settings: Arguments of the class that go before what the files say.

        Raises:
            FileNotFoundError: If the source is nowhere, or has no such file.
            ValueError: If it is another kind of tokenizer, or a file is broken.
        """
        unknown = sorted(set(settings) - set(DEFAULTS))
        if unknown:
            choices = ", ".join(DEFAULTS)
            raise ValueError(
                Errors.SE002(name="setting", value=unknown[0], choices=choices)
            )
        folder = resolve_source(source, revision, wanted="tokenizer")
        vocab, values = read_folder(folder, settings)
        return cls(vocab, **values)

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Write vocab.txt, tokenizer.json and tokenizer_config.json.

        Args:
            path: A directory, made where it is missing.
        """
        write_folder(Path(path), self.pieces, self.vocab, self.settings, self.backend)

    def to_bytes(self) -> bytes:
        """Settings and vocabulary, as JSON."""
        content = {"settings": self.settings, "vocab": self.pieces}
        return json.dumps(content, ensure_ascii=False).encode("utf8")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What ``to_bytes`` gave, as a tokenizer again.

        Raises:
            ValueError: If it is something else.
        """
        try:
            content = json.loads(data)
            vocab, settings = dict(content["vocab"]), dict(content["settings"])
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(Errors.SE130(file=_SAVED, error=error)) from error
        # A later version may have saved settings that this one does not know.
        settings = checked(settings, _SAVED)
        check_vocabulary(vocab, _SAVED)
        return cls(vocab, **settings)

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes started by spawn get the tokenizer as plain JSON.
        return (ElectraTokenizer.from_bytes, (self.to_bytes(),))


def _unfit(texts: Sequence[Any], error: TypeError) -> Exception:
    """The error for the first of some texts that the library can't take."""
    for text in texts:
        for part in [text] if isinstance(text, str) else text:
            if not isinstance(part, str):
                kind, value = type(part).__name__, repr(part)[:60]
                return ValueError(
                    Errors.SE137(wanted="a string", kind=kind, value=value)
                )
            if any("\ud800" <= character <= "\udfff" for character in part):
                return ValueError(Errors.SE147(text=ascii(part[:60])))
    return error
