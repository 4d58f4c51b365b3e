"""How often the word that was meant is among suggestions; used by rtd_detection.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rtd_scorers import Discriminator, spaces_of, words_of
from rtd_texts import Case
from spacy.tokens import Doc, Token

from spacy_electra.layers.candidates import find_candidates, places_of_tokens
from spacy_electra.pipeline.rtd import ElectraRTD

FIRST = (1, 3, 10)
TOKENS_AT_ONCE = 500
Figures = dict[str, Any]


def suggestion_figures(scorer: Discriminator, cases: Sequence[Case]) -> Figures:
    """Shares of wrong words whose original is among the first suggestions.

    Args:
        scorer: Its source has a generator.
        cases: Texts with words that took the place of others.

    Returns:
        "words", how many there are, and shares by name: of all of them, of those that
        are marked at the usual threshold, and of all of them by the generator alone,
        without a look at the spelling of what is there.
    """
    component = scorer.nlp.get_pipe("electra_rtd")
    assert isinstance(component, ElectraRTD)
    docs = list(
        scorer.nlp.pipe(
            Doc(scorer.nlp.vocab, words_of(case.doc), spaces_of(case.doc))
            for case in cases
        )
    )
    tokens, originals = [], []
    for doc, case in zip(docs, cases, strict=True):
        for place, original in case.originals.items():
            tokens.append(doc[place])
            originals.append(original.lower())
    marked = np.array([token._.is_replaced for token in tokens])
    by_channel, by_context = [], []
    for start in range(0, len(tokens), TOKENS_AT_ONCE):
        own = tokens[start : start + TOKENS_AT_ONCE]
        by_channel += [
            [word.lower() for word, _ in found]
            for found in component.suggest(own, max(FIRST))
        ]
        by_context += _by_context(component, own)
    all_of = _ranks(by_channel, originals)
    return {
        "words": len(tokens),
        "marked": int(marked.sum()),
        "all": _shares(all_of),
        "of marked": _shares(all_of[marked]),
        "context alone": _shares(_ranks(by_context, originals)),
    }


def _by_context(component: ElectraRTD, tokens: list[Token]) -> list[list[str]]:
    model = component.generator()
    places = places_of_tokens(tokens, model.tokenizer)
    found = find_candidates(model, places, max(FIRST) + 1)
    # What is there is no suggestion, as in the component's own.
    return [
        [word for word, _ in own if word != token.lower_]
        for token, own in zip(tokens, found, strict=True)
    ]


def _ranks(found: list[list[str]], originals: list[str]) -> np.ndarray:
    """Where the original stands, 0 first; behind the last one where it does not."""
    missing = max(FIRST)
    return np.array(
        [
            words.index(original) if original in words else missing
            for words, original in zip(found, originals, strict=True)
        ],
        dtype=np.int64,
    )


def _shares(ranks: np.ndarray) -> dict[str, float]:
    return {str(n): float((ranks < n).mean()) if len(ranks) else 0.0 for n in FIRST}
