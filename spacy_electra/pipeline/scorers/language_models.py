"""How well language models know held-out text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

from ...layers.likelihood import check_hidden
from ..training.language_models import Knowledge

Scores = dict[str, Any]
Measure = Callable[[Sequence[Doc]], Knowledge | None]
# From texts and a way to hide pieces to the log-likelihood of each piece of each text.
Likelihoods = Callable[[Sequence[Doc], str], list[NDArray[np.float64]]]


@registry.scorers("spacy-electra.MaskedLMScorer.v1")
def make_masked_lm_scorer(hidden: str | None = None) -> Callable[..., Scores]:
    """Loss, perplexity and accuracy at masked pieces, and pseudo-perplexity.

    The latter is exp(-sum of pseudo-log-likelihoods / number of pieces) over all texts
    (Salazar et al., 2020, "Masked language model scoring"). Special pieces, as a [MASK]
    in a text, do not count.

    Args:
        hidden: With which pieces hidden the pseudo-perplexity is computed, as in
            ``pseudo_log_likelihoods``. It takes a sequence per piece of the text; None
            leaves it out.

    Raises:
        ValueError: If there is no such way to hide.
    """
    if hidden is not None:
        check_hidden(hidden)

    def score(
        examples: Iterable[Example],
        *,
        measure: Measure,
        piece_likelihoods: Likelihoods,
        **kwargs: Any,
    ) -> Scores:
        docs = [example.predicted for example in examples]
        scores = _scores("mlm", measure(docs))
        if hidden is not None:
            known = np.concatenate([np.zeros(0), *piece_likelihoods(docs, hidden)])
            known = known[~np.isnan(known)]
            loss = -float(known.mean()) if len(known) else None
            scores["mlm_pseudo_perplexity"] = _perplexity(loss)
        return scores

    return score


@registry.scorers("spacy-electra.CausalLMScorer.v1")
def make_causal_lm_scorer() -> Callable[..., Scores]:
    """Loss, perplexity and accuracy at every piece, and bits per character.

    The last is independent of the vocabulary.
    """
    return score_causal_lm


def score_causal_lm(
    examples: Iterable[Example], *, measure: Measure, **kwargs: Any
) -> Scores:
    """Score a causal language model on the text of examples.

    Args:
        examples: Only their text is used.
        measure: How well the model knows Docs.
        kwargs: Not used; scorers of one pipeline share their arguments.

    Returns:
        ``causal_lm_loss``, ``causal_lm_perplexity``, ``causal_lm_accuracy`` and
        ``causal_lm_bits_per_character``; None each where there is no text.
    """
    docs = [example.predicted for example in examples]
    found = measure(docs)
    characters = sum(len(doc.text) for doc in docs)
    rate = None if found is None else found.bits / characters
    return {**_scores("causal_lm", found), "causal_lm_bits_per_character": rate}


def _scores(prefix: str, found: Knowledge | None) -> Scores:
    loss, accuracy = (None, None) if found is None else found[:2]
    return {
        f"{prefix}_loss": loss,
        f"{prefix}_perplexity": _perplexity(loss),
        f"{prefix}_accuracy": accuracy,
    }


def _perplexity(loss: float | None) -> float | None:
    # Beyond any vocabulary, so that it stays a number.
    return None if loss is None else float(np.exp(min(loss, 700.0)))
