"""Which tokens of a text are ordinary words: no names, numbers or code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc, Token

from ..tokenization import ElectraTokenizer
from ..tokenization.alignment import align

# What is code wherever it stands: code spans and links of Markdown, tags, commands of
# TeX.
_CODE = re.compile(
    r"(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"
    r"|\]\([^)\n]*\)"
    r"|<[A-Za-z/!?][^>\n]*>"
    r"|\\[A-Za-z]+",
    re.DOTALL,
)
_CHUNK = re.compile(r"\S+")
_AROUND = ".,;:!?\"'()[]*_…“”‘’«»"
# In what has no blank inside: signs of no prose, several or leading slashes, calls, and
# dots between parts that are longer than initials ("setup.cfg", but "e.g.").
_IDENTIFIER = re.compile(
    r"[\\_=<>{}|@#~^$]|::|\(\)|/.*/|^\.*/|\w{2,}\.\w{2,}|[a-z][A-Z]|\d"
)
_SENTENCE_ENDS = frozenset((*Sentencizer.default_punct_chars, ":", "..."))
_BULLETS = frozenset("-*+•>#|")


class OrdinaryWords:
    """Tells ordinary words from the rest, by their looks alone.

    No ordinary word is:

    - what has no letter, and what has a digit;
    - code: what is in code spans, links, tags and commands, and what looks like a path,
      an identifier, a URL or an e-mail address;
    - a name: written with a capital inside of a sentence, in capitals, or with capitals
      within; a word that begins a sentence, if the text has it with a capital inside of
      another one, too. Where the pipeline has an entity recognizer or a tagger, also
      what they take for a name;
    - a word of which the vocabulary knows no piece ([UNK]).

    It remembers the names of the texts that it has seen: there is one for each file.

    Args:
        tokenizer: Has the vocabulary.
    """

    def __init__(self, tokenizer: ElectraTokenizer) -> None:
        self.tokenizer = tokenizer
        self.names: set[str] = set()

    def __call__(self, doc: Doc) -> NDArray[np.bool_]:
        """Whether each token of a Doc is an ordinary word, bool [tokens]."""
        begins = _sentence_begins(doc)
        self._learn_names(doc, begins)
        is_code = _inside(doc, _code_of(doc.text))
        is_unknown = self._unknown(doc)
        ordinary = [
            _is_word(token)
            and not (code or unknown)
            and not self._is_name(token, begins=start)
            for token, start, code, unknown in zip(
                doc, begins, is_code, is_unknown, strict=True
            )
        ]
        return np.array(ordinary, dtype=bool)

    def _learn_names(self, doc: Doc, begins: Sequence[bool]) -> None:
        words = [token for token in doc if token.is_alpha]
        # Headings in capitals say nothing of what is a name.
        if 2 * sum(token.is_lower for token in words) < len(words):
            return
        for token, start in zip(doc, begins, strict=True):
            if not start and token.is_title and len(token) > 1:
                self.names.add(token.text)

    def _is_name(self, token: Token, *, begins: bool) -> bool:
        if token.ent_type_ or token.pos_ == "PROPN":
            return True
        text = token.text
        if len(text) == 1 or not any(map(str.isupper, text)):
            return False
        return not begins or not token.is_title or text in self.names

    def _unknown(self, doc: Doc) -> NDArray[np.bool_]:
        (pieces,) = align([doc], self.tokenizer)
        lengths = np.asarray(pieces.alignment.lengths)
        owners = np.repeat(np.arange(len(doc)), lengths)
        rows = pieces.alignment.dataXd.ravel()
        known = np.zeros(len(doc), dtype=bool)
        known[owners[pieces.ids[rows] != self.tokenizer.unk_token_id]] = True
        return ~known


def _is_word(token: Token) -> bool:
    if token.like_url or token.like_email:
        return False
    text = token.text
    return any(map(str.isalpha, text)) and not any(map(str.isdigit, text))


def _sentence_begins(doc: Doc) -> list[bool]:
    """Whether each token may be the first word of a sentence."""
    found, start, is_line_start = [], True, True
    for token in doc:
        text = token.text
        # A list has an entry a line, and a capital may follow a quotation mark.
        is_bullet = is_line_start and text in _BULLETS
        start = start or text in _SENTENCE_ENDS or token.is_quote or is_bullet
        found.append(start)
        is_line_start = token.is_space and "\n" in text
        start = start and not any(map(str.isalpha, text))
    return found


def _code_of(text: str) -> Iterator[tuple[int, int]]:
    """Stretches of a text that are code."""
    prose = list(text)
    for match in _CODE.finditer(text):
        yield match.span()
        start, end = match.span()
        prose[start:end] = " " * (end - start)
    for match in _CHUNK.finditer("".join(prose)):
        if _IDENTIFIER.search(match[0].strip(_AROUND)):
            yield match.span()


def _inside(doc: Doc, stretches: Iterator[tuple[int, int]]) -> list[bool]:
    """Whether each token has a character within stretches of the text."""
    covered = np.zeros(len(doc.text) + 1, dtype=bool)
    for start, end in stretches:
        covered[start:end] = True
    return [bool(covered[t.idx : t.idx + len(t)].any()) for t in doc]
