"""What scores each word of a text for "does not belong"; used by rtd_detection.py."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import spacy
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from spacy.tokens import Doc

from spacy_electra.models import ElectraForMaskedLM, PackedBatch
from spacy_electra.models.packing import split_by_tokens
from spacy_electra.models.precision import autocast
from spacy_electra.pipeline.rtd import ElectraRTD
from spacy_electra.pretraining.pairs import open_pair

MAX_TOKENS = 8192
Floats = NDArray[np.float64]


class Scorer(Protocol):
    """Scores words.

    Args:
        name: For tables.
        threshold: Score from which a word is marked, if there is a usual one.
    """

    name: str
    threshold: float

    def __call__(self, docs: Sequence[Doc]) -> list[Floats]:
        """The score of each token of each Doc, float64 [n]; nan where it has none."""
        ...


class Discriminator:
    """``electra_rtd`` as anybody uses it."""

    threshold = 0.5

    def __init__(self, source: str) -> None:
        self.name = source
        self.nlp = spacy.blank("en")
        config = {"model": {"encoder": {"source": source}}}
        component = self.nlp.add_pipe("electra_rtd", config=config)
        self.nlp.initialize()
        assert isinstance(component, ElectraRTD)
        self.has_generator = component.has_generator

    def __call__(self, docs: Sequence[Doc]) -> list[Floats]:
        """Probabilities."""
        own = (Doc(self.nlp.vocab, words_of(doc), spaces_of(doc)) for doc in docs)
        return [
            np.array([token._.rtd_score for token in doc]) for doc in self.nlp.pipe(own)
        ]


class Dictionary:
    """A word that the counts do not know is marked; rarer ones score higher."""

    name, threshold = "dictionary", 0.0

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts

    def __call__(self, docs: Sequence[Doc]) -> list[Floats]:
        """Minus the logarithm of the count; 0 for a word of none."""
        return [
            np.array([self._score(token.text.lower()) for token in doc]) for doc in docs
        ]

    def _score(self, word: str) -> float:
        # Numbers and punctuation are not what a dictionary is for.
        if not any(letter.isalpha() for letter in word):
            return -math.inf
        return -math.log1p(self.counts[word])


class PseudoLikelihood:
    """Minus the log probability of each word under a masked language model.

    One pass a word, all its pieces hidden.
    """

    # A word less likely than this is marked; no training chose it.
    threshold = -math.log(1e-4)

    def __init__(self, source: str) -> None:
        self.name = f"masked LM, {source}"
        pair = open_pair(source)
        assert pair.generator is not None
        self.model, self.tokenizer = pair.generator, pair.tokenizer

    def __call__(self, docs: Sequence[Doc]) -> list[Floats]:
        """Nats."""
        masks: list[tuple[list[int], list[int]]] = []
        owners: list[tuple[int, int]] = []
        for number, doc in enumerate(docs):
            words = [[int(i) for i in p] for p in self._pieces(words_of(doc))]
            ids = [piece for word in words for piece in word]
            start = 1
            for place, word in enumerate(words):
                if word:
                    rows = list(range(start, start + len(word)))
                    masks.append((ids, rows))
                    owners.append((number, place))
                start += len(word)
        scores = [np.full(len(doc), np.nan) for doc in docs]
        for (number, place), value in zip(owners, self._nats(masks), strict=True):
            scores[number][place] = value
        return scores

    def _pieces(self, words: list[str]) -> list[NDArray[np.int64]]:
        return self.tokenizer.encode_ids(words)

    def _nats(self, masks: list[tuple[list[int], list[int]]]) -> list[float]:
        return masked_nats(self.model, self.tokenizer, masks)


@torch.no_grad()
def masked_nats(
    model: ElectraForMaskedLM,
    tokenizer: object,
    masks: list[tuple[list[int], list[int]]],
) -> list[float]:
    """Minus the log probability of the pieces at some rows, all of them hidden.

    Args:
        model: A generator.
        tokenizer: Its own.
        masks: Pieces of a text, without special ones, and rows, which count [CLS].
    """
    cls, sep, mask = (
        getattr(tokenizer, f"{name}_token_id") for name in ("cls", "sep", "mask")
    )
    results = [0.0] * len(masks)
    for group in split_by_tokens([len(ids) + 2 for ids, _ in masks], MAX_TOKENS):
        sequences, rows, originals, owner = [], [], [], []
        start = 0
        for index in group:
            ids, hidden = masks[index]
            sequence = torch.tensor([cls, *ids, sep])
            originals.append(sequence[hidden])
            sequence[hidden] = mask
            sequences.append(sequence)
            rows += [start + row for row in hidden]
            owner += [index] * len(hidden)
            start += len(sequence)
        with autocast(torch.device("cpu"), "auto"):
            logits = model.forward_packed(
                PackedBatch.from_sequences(sequences), torch.tensor(rows)
            )
        losses = F.cross_entropy(logits, torch.cat(originals), reduction="none")
        for index, loss in zip(owner, losses.tolist(), strict=True):
            results[index] += loss
    return results


class SentenceScores:
    """How acceptable whole sentences are, by several measures of one source.

    Args:
        source: Checkpoint; pseudo-likelihood only where it has a generator.
    """

    def __init__(self, source: str) -> None:
        self.pair = open_pair(source)

    @torch.no_grad()
    def by_discriminator(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Sum of log P(original), its mean, sum of log-odds, and minimum."""
        tokenizer = self.pair.tokenizer
        special = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        sequences = [
            torch.tensor([*special[0], *ids.tolist(), *special[1]])
            for ids in tokenizer.encode_ids(texts)
        ]
        names = ("log P(original)", "its mean", "log-odds", "minimum")
        scores = {name: np.zeros(len(texts)) for name in names}
        for group in split_by_tokens([len(s) for s in sequences], MAX_TOKENS):
            batch = PackedBatch.from_sequences([sequences[i] for i in group])
            with autocast(torch.device("cpu"), "auto"):
                logits = self.pair.discriminator.forward_packed(batch)
            parts = logits.split([len(sequences[i]) for i in group])
            for index, part in zip(group, parts, strict=True):
                own = F.logsigmoid(-part[1:-1])
                values = (own.sum(), own.mean(), -part[1:-1].sum(), own.min())
                for name, value in zip(names, values, strict=True):
                    scores[name][index] = float(value)
        return scores

    def by_generator(self, texts: Sequence[str]) -> Floats:
        """Pseudo-log-likelihood: each piece by itself hidden (Salazar et al., 2020)."""
        assert self.pair.generator is not None
        encoded = [ids.tolist() for ids in self.pair.tokenizer.encode_ids(texts)]
        masks = [(ids, [row]) for ids in encoded for row in range(1, len(ids) + 1)]
        nats = iter(masked_nats(self.pair.generator, self.pair.tokenizer, masks))
        return np.array([-sum(next(nats) for _ in ids) for ids in encoded])


def words_of(doc: Doc) -> list[str]:
    """Its words."""
    return [token.text for token in doc]


def spaces_of(doc: Doc) -> list[bool]:
    """Whether white space follows each of them."""
    return [bool(token.whitespace_) for token in doc]


def counted(corpus: Iterator[str]) -> Counter[str]:
    """Lower-case words of every tenth document."""
    counts: Counter[str] = Counter()
    for number, text in enumerate(corpus):
        if number % 10 == 0:
            counts.update(w for w in text.lower().split() if w.isalpha())
    return counts


def as_scorer(name: str, counts: Counter[str]) -> Scorer:
    """A source, "dictionary", or "mlm:SOURCE"."""
    if name == "dictionary":
        return Dictionary(counts)
    if name.startswith("mlm:"):
        return PseudoLikelihood(name.removeprefix("mlm:"))
    return Discriminator(name)


def shown(name: str) -> str:
    """A name for tables: the last part of a path."""
    return Path(name).name if "/" in name else name
