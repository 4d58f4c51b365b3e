"""Learning a WordPiece vocabulary from texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tokenizers.trainers import WordPieceTrainer

from ..errors import Errors
from .alphabet import alphabet_of
from .wordpiece import SPECIAL_TOKENS, ElectraTokenizer

# Padding is 0 and the rest follow it, as in the vocabularies that people know.
_SPECIAL_ORDER = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
# Of a script with more characters, such as Hangul, those that make up nearly all of the
# text come in, as long as half of the vocabulary is left for pieces of several.
_USUAL_ALPHABET = 1000


def train_vocabulary(
    texts: Iterable[str],
    *,
    vocab_size: int,
    min_frequency: int = 2,
    **settings: Any,
) -> ElectraTokenizer:
    """Learn pieces by merging, most frequent pair first, and make a tokenizer of them.

    The merges are those of byte-pair encoding (Sennrich et al., 2016), as in
    ``tokenizers.trainers.WordPieceTrainer``; they apply longest match first. The same
    texts give the same pieces with the same ids.

    Args:
        texts: Any number of texts. They are read twice; an iterator, which can't be,
            is kept in memory.
        vocab_size: Number of pieces, special ones among them; fewer come out where the
            text gives no more.
        min_frequency: Fewest occurrences of a pair that is merged.
        settings: Arguments of ``ElectraTokenizer``; the tokens of ``never_split`` come
            into the vocabulary after the special ones.

    Raises:
        ValueError: If the size leaves no room, or the texts give no piece.
    """
    special = [settings.get(name, SPECIAL_TOKENS[name]) for name in _SPECIAL_ORDER]
    special = list(dict.fromkeys([*special, *(settings.get("never_split") or ())]))
    if vocab_size <= len(special):
        raise ValueError(Errors.SE105(size=vocab_size, special=len(special)))
    # The special tokens alone make a tokenizer that normalizes and splits as it should.
    empty = ElectraTokenizer({token: n for n, token in enumerate(special)}, **settings)
    if isinstance(texts, Iterator):
        texts = list(texts)
    characters, continuing, enough = alphabet_of(texts, empty)
    largest = max(_USUAL_ALPHABET, min(enough, vocab_size // 2))
    # The trainer merges the most frequent pair and, of equals, that with the lower ids.
    # It drops the rarest characters and numbers continuations in the order of a hash
    # table, another one each time, unless they are named before.
    prefix = empty.wordpieces_prefix
    named = [prefix + character for character in continuing[:largest]]
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        limit_alphabet=largest,
        initial_alphabet=characters[:largest],
        special_tokens=special + named[: vocab_size - len(special)],
        continuing_subword_prefix=prefix,
        show_progress=False,
    )
    empty.backend.train_from_iterator(texts, trainer)
    vocab = empty.backend.get_vocab()
    if len(vocab) == len(special):
        raise ValueError(Errors.SE106())
    return ElectraTokenizer(vocab, **settings)
