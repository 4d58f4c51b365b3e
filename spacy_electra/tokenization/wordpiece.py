"""ELECTRA's WordPiece tokenizer, built on the `tokenizers` library."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from ..errors import Errors

VOCAB, TOKENIZER, SETTINGS = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"
SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
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
# What WordPiece gives up on, as in BERT's own code: a longer word is one [UNK].
LONGEST_WORD = 100


@dataclass(frozen=True)
class Encoding:
    """A text, or a pair of texts, as pieces.

    Args:
        ids: int64 [n].
        offsets: First character of each piece in its text and the one behind its last,
            int64 [n, 2]; (0, 0) for a special piece that is not in the text.
        token_type_ids: 0 for the first text, 1 for the second, int64 [n].
        special_tokens_mask: 1 for a special piece that is not in the text, int64 [n].
    """

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]
    special_tokens_mask: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


class ElectraTokenizer:
    """WordPiece with BERT's normalization, the options of Hugging Face's classes.

    Gives the ids and offsets of ``transformers.ElectraTokenizerFast``. Never pads and
    never truncates.

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
        pad_token: Fills a batch; this package never needs it.
        cls_token: Begins a sequence.
        mask_token: Stands for a hidden piece.
        tokenize_chinese_chars: Whether each Chinese character is a word.
        strip_accents: Whether to remove accents; None does what ``do_lower_case`` says.
        clean_text: Whether to remove control characters and to make every white space
            a blank.
        wordpieces_prefix: What begins a piece that continues a word.
        clean_up_tokenization_spaces: Whether ``decode`` removes the blanks before
            punctuation.
        model_max_length: Written to tokenizer_config.json for other readers; nothing
            is cut here.

    Raises:
        ValueError: If the vocabulary lacks a special token or one of ``never_split``.
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
        model_max_length: int = 512,
    ) -> None:
        self.settings: dict[str, Any] = {
            "do_lower_case": do_lower_case,
            "do_basic_tokenize": do_basic_tokenize,
            "never_split": sorted(never_split) if never_split else None,
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
        }
        self.vocab = dict(vocab)
        missing = [t for t in self._special_tokens if t not in self.vocab]
        if missing:
            raise ValueError(Errors.SE100(missing=", ".join(missing)))
        unknown = [t for t in self.settings["never_split"] or () if t not in self.vocab]
        if unknown:
            raise ValueError(Errors.SE101(unknown=", ".join(map(repr, unknown))))
        self.backend = _backend(self.vocab, self.settings)

    @property
    def _special_tokens(self) -> list[str]:
        return [self.settings[name] for name in SPECIAL_TOKENS]

    @property
    def vocab_size(self) -> int:
        """Number of rows that an embedding needs: the largest id and one."""
        return max(self.vocab.values()) + 1

    @property
    def wordpieces_prefix(self) -> str:
        """What begins a piece that continues a word."""
        return str(self.settings["wordpieces_prefix"])

    @cached_property
    def continuations(self) -> NDArray[np.bool_]:
        """Whether a piece continues a word rather than beginning one, bool [V]."""
        continues = np.zeros(self.vocab_size, dtype=bool)
        for piece, number in self.vocab.items():
            continues[number] = piece.startswith(self.wordpieces_prefix)
        return continues

    @property
    def unk_token_id(self) -> int:
        """Id of the unknown piece."""
        return self.vocab[self.settings["unk_token"]]

    @property
    def sep_token_id(self) -> int:
        """Id of the piece that ends a text."""
        return self.vocab[self.settings["sep_token"]]

    @property
    def pad_token_id(self) -> int:
        """Id of the padding piece."""
        return self.vocab[self.settings["pad_token"]]

    @property
    def cls_token_id(self) -> int:
        """Id of the piece that begins a sequence."""
        return self.vocab[self.settings["cls_token"]]

    @property
    def mask_token_id(self) -> int:
        """Id of the piece that hides another."""
        return self.vocab[self.settings["mask_token"]]

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of the five special pieces, ascending."""
        return sorted(self.vocab[token] for token in self._special_tokens)

    def __call__(
        self, text: str, text_pair: str | None = None, add_special_tokens: bool = True
    ) -> Encoding:
        """Tokenize a text, or two.

        Args:
            text: The first, or only, text.
            text_pair: The second.
            add_special_tokens: Whether to make it [CLS] text [SEP] (text_pair [SEP]).
        """
        encoded = self.backend.encode(
            text, text_pair, add_special_tokens=add_special_tokens
        )
        return Encoding(
            ids=np.array(encoded.ids, dtype=np.int64),
            offsets=np.array(encoded.offsets, dtype=np.int64).reshape(-1, 2),
            token_type_ids=np.array(encoded.type_ids, dtype=np.int64),
            special_tokens_mask=np.array(encoded.special_tokens_mask, dtype=np.int64),
        )

    def encode_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenize many texts at once, without special pieces around them."""
        encoded = self.backend.encode_batch(list(texts), add_special_tokens=False)
        # Arrays of all texts at once and views of them: an array for each text would
        # take as long as half of the tokenizer.
        each = [part.ids for part in encoded]
        pairs = chain.from_iterable(part.offsets for part in encoded)
        ids = np.fromiter(chain.from_iterable(each), dtype=np.int64)
        offsets = np.fromiter(chain.from_iterable(pairs), dtype=np.int64).reshape(-1, 2)
        nothing = np.zeros(len(ids), dtype=np.int64)
        ends = np.cumsum([0, *map(len, each)]).tolist()
        parts = [slice(*bounds) for bounds in pairwise(ends)]
        return [
            Encoding(ids[own], offsets[own], nothing[own], nothing[own])
            for own in parts
        ]

    def encode_ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Only the ids of ``encode_batch``, at less cost."""
        backend = self.backend
        # Without offsets, where the library knows how.
        encode = getattr(backend, "encode_batch_fast", backend.encode_batch)
        encodings = encode(list(texts), add_special_tokens=False)
        return [np.array(encoded.ids, dtype=np.int64) for encoded in encodings]

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides which ids a text gets (SHA-256, in hex)."""
        elsewhere = ("model_max_length", "clean_up_tokenization_spaces")
        settings = {k: v for k, v in self.settings.items() if k not in elsewhere}
        content = [sorted(settings.items()), sorted(self.vocab.items())]
        return hashlib.sha256(json.dumps(content).encode("utf8")).hexdigest()

    def normalize(self, text: str) -> str:
        """A text as it is before it is cut into words."""
        normalizer = self.backend.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text, as strings."""
        tokens: list[str] = self.backend.encode(text, add_special_tokens=False).tokens
        return tokens

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> list[int]:
        """Ids of pieces; that of the unknown piece for those that are none."""
        return [self.vocab.get(token, self.unk_token_id) for token in tokens]

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Pieces of ids.

        Raises:
            ValueError: If the vocabulary has no such id.
        """
        tokens = [self.backend.id_to_token(int(number)) for number in ids]
        if None in tokens:
            bad = list(ids)[tokens.index(None)]
            raise ValueError(Errors.SE102(id=bad, size=self.vocab_size))
        return tokens

    @cached_property
    def strings(self) -> NDArray[np.object_]:
        """The piece of each id, "" where there is none, object [vocab_size].

        ``tokenizer.strings[ids]`` converts arrays of any shape at once.
        """
        strings = np.full(self.vocab_size, "", dtype=object)
        strings[list(self.vocab.values())] = list(self.vocab)
        return strings

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """Text of pieces: continuations joined, words with a blank between them.

        Args:
            ids: Piece ids.
            skip_special_tokens: Whether to leave out the special pieces.
        """
        text: str = self.backend.decode(
            [int(number) for number in ids], skip_special_tokens=skip_special_tokens
        )
        if self.settings["clean_up_tokenization_spaces"]:
            for apart, together in _JOINED:
                text = text.replace(apart, together)
        return text

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> ElectraTokenizer:
        """Open a tokenizer directory, of Hugging Face's layout or ours.

        A vocab.txt alone is enough, and so is a tokenizer.json; what
        tokenizer_config.json says goes before what tokenizer.json says. Any padding or
        truncation that a tokenizer.json asks for is dropped.

        Args:
            path: The directory.

        Raises:
            FileNotFoundError: If the directory has neither file.
            ValueError: If it is another kind of tokenizer.
        """
        folder = Path(path)
        settings: dict[str, Any] = {}
        if (folder / TOKENIZER).exists():
            vocab, settings = _read_tokenizer_json(folder / TOKENIZER)
        elif (folder / VOCAB).exists():
            lines = (folder / VOCAB).read_text(encoding="utf8").splitlines()
            vocab = {token: number for number, token in enumerate(lines)}
        else:
            raise FileNotFoundError(Errors.SE103(path=folder))
        for name in (SPECIAL_TOKENS_MAP, SETTINGS):
            if (folder / name).exists():
                values = json.loads((folder / name).read_text(encoding="utf8"))
                settings.update(_known_settings(values))
        return cls(vocab, **settings)

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Write vocab.txt, tokenizer.json and tokenizer_config.json.

        Args:
            path: A directory, made where it is missing.
        """
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        tokens = {number: token for token, number in self.vocab.items()}
        # A line is an id, so a gap between ids needs a line as well.
        lines = [tokens.get(n, f"[unused{n}]") for n in range(self.vocab_size)]
        (folder / VOCAB).write_text("\n".join(lines) + "\n", encoding="utf8")
        (folder / TOKENIZER).write_text(self.backend.to_str(), encoding="utf8")
        settings = {**self.settings, "tokenizer_class": "ElectraTokenizer"}
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        (folder / SETTINGS).write_text(text + "\n", encoding="utf8")

    def to_bytes(self) -> bytes:
        """Settings and vocabulary, as JSON."""
        content = {"settings": self.settings, "vocab": self.vocab}
        return json.dumps(content, ensure_ascii=False).encode("utf8")

    @classmethod
    def from_bytes(cls, data: bytes) -> ElectraTokenizer:
        """What ``to_bytes`` gave, as a tokenizer again."""
        content = json.loads(data)
        return cls(content["vocab"], **content["settings"])

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes started by spawn get the tokenizer as plain JSON.
        return (ElectraTokenizer.from_bytes, (self.to_bytes(),))


def _backend(vocab: dict[str, int], settings: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of the library that does what the settings say."""
    backend = Tokenizer(
        WordPiece(
            vocab,
            unk_token=settings["unk_token"],
            continuing_subword_prefix=settings["wordpieces_prefix"],
            max_input_chars_per_word=LONGEST_WORD,
        )
    )
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
    backend.add_special_tokens(
        [AddedToken(settings[name], special=True) for name in SPECIAL_TOKENS]
    )
    backend.add_tokens(
        [
            AddedToken(token, single_word=True, normalized=False)
            for token in settings["never_split"] or ()
        ]
    )
    cls, sep = settings["cls_token"], settings["sep_token"]
    backend.post_processor = TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    backend.decoder = decoders.WordPiece(
        prefix=settings["wordpieces_prefix"],
        cleanup=settings["clean_up_tokenization_spaces"],
    )
    return backend


def _read_tokenizer_json(file: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Vocabulary and settings of a tokenizer.json."""
    content = json.loads(file.read_text(encoding="utf8"))
    model = content["model"]
    if model.get("type", "WordPiece") != "WordPiece":
        raise ValueError(Errors.SE104(file=file, kind=model.get("type")))
    vocab = dict(model["vocab"])
    for added in content.get("added_tokens", ()):
        vocab.setdefault(added["content"], added["id"])
    settings: dict[str, Any] = {
        "unk_token": model["unk_token"],
        "wordpieces_prefix": model["continuing_subword_prefix"],
    }
    normalizer = content.get("normalizer") or {}
    for theirs, ours in (
        ("lowercase", "do_lower_case"),
        ("strip_accents", "strip_accents"),
        ("handle_chinese_chars", "tokenize_chinese_chars"),
        ("clean_text", "clean_text"),
    ):
        if theirs in normalizer:
            settings[ours] = normalizer[theirs]
    return vocab, settings


def _known_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings of a JSON file that the class takes."""
    flags = (
        "do_lower_case",
        "do_basic_tokenize",
        "never_split",
        "tokenize_chinese_chars",
        "strip_accents",
        "clean_text",
        "wordpieces_prefix",
        "clean_up_tokenization_spaces",
        "model_max_length",
    )
    known = {name: values[name] for name in flags if name in values}
    for name in SPECIAL_TOKENS:
        token = values.get(name)
        # A special token may be written with its options, as an object.
        content = token.get("content") if isinstance(token, dict) else token
        if content is not None:
            known[name] = content
    return known
