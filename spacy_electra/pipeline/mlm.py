"""`electra_mlm`: the words that fit a place of a text, and how likely a text is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Token
from spacy.training import Example
from spacy.vocab import Vocab

from ..layers.candidates import Candidate, find_candidates, places_of_tokens
from ..layers.encoding import note_language
from ..layers.head_model import Head
from ..layers.language_model import LanguageModel
from ..layers.likelihood import check_hidden, pseudo_log_likelihoods, sums_per_token
from ..layers.listener import EncoderListener, release
from ..pretraining.settings import settings_from
from ..tokenization.alignment import align
from .attributes import register, store
from .component import HeadComponent
from .masks import Prediction, fill_masks
from .places import Places
from .training.language_models import (
    Knowledge,
    MaskingSettings,
    learn,
    masked_knowledge,
    masked_targets,
)


class ElectraMLM(HeadComponent):
    """A masked language model as a pipeline component.

    For every [MASK] in a text it finds the likeliest words, and sets them as
    ``doc._.masks``; ``fill_masks`` says how that looks. Words for any other token, and
    likelihoods, are there when asked for.

    Args:
        vocab: The pipeline's.
        model: From Docs to logits, as ``spacy-electra.MaskedLM.v1`` makes it.
        name: Of the component.
        k: Words for each [MASK].
        max_pieces: Most pieces of a word; see ``find_candidates``.
        beam: Ends of longer words that are followed.
        hidden: With "piece", "rest_of_word" or "word" each Doc gets its
            pseudo-log-likelihood (``pseudo_log_likelihoods``); it takes a sequence per
            piece. None leaves it out.
        masks_attribute: Name of the extension attribute for the masks.
        likelihood_attribute: Name of that for the likelihood, in nats.
        masking: What training hides: the fields of ``MaskingSettings``.
        scorer: Scores held-out text.

    Raises:
        ValueError: If a value can't be; the message names it.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Head,
        name: str = "electra_mlm",
        *,
        k: int = 5,
        max_pieces: int = 1,
        beam: int = 8,
        hidden: str | None = None,
        masks_attribute: str = "masks",
        likelihood_attribute: str = "pseudo_log_likelihood",
        masking: dict[str, Any] | None = None,
        scorer: Callable[..., dict[str, Any]] | None = None,
    ) -> None:
        if hidden is not None:
            check_hidden(hidden)
        super().__init__(
            vocab,
            model,
            name,
            scorer=scorer,
            k=k,
            max_pieces=max_pieces,
            beam=beam,
            hidden=hidden,
            masks_attribute=masks_attribute,
            likelihood_attribute=likelihood_attribute,
        )
        self.masking = settings_from(MaskingSettings, "masking", masking or {})
        # Updates so far: each hides other pieces.
        self.step = 0
        register(
            {masks_attribute: {"default": []}, likelihood_attribute: {"default": None}}
        )

    @property
    def places(self) -> Places:
        """Its attributes, as far as it sets them."""
        keys = ["masks_attribute"]
        if self.cfg["hidden"]:
            keys.append("likelihood_attribute")
        return {f"doc._.{self.cfg[key]}": key for key in keys}

    @property
    def labels(self) -> tuple[str, ...]:
        """None: what it predicts is the vocabulary of its tokenizer."""
        return ()

    @property
    def _search(self) -> dict[str, int]:
        return {name: self.cfg[name] for name in ("k", "max_pieces", "beam")}

    def language_model(self) -> LanguageModel:
        """The network as functions like ``find_candidates`` take it."""
        return LanguageModel.from_head(self.model)

    def candidates(
        self, doc: Doc, i: int, k: int | None = None, max_pieces: int | None = None
    ) -> list[Candidate]:
        """The words that fit in place of a token, likeliest first.

        Args:
            doc: Any Doc; [MASK]s in it stay hidden.
            i: Index of the token.
            k: Most words; the component's by default.
            max_pieces: Most pieces of a word; the component's by default.

        Returns:
            Words with probabilities; none for white space.
        """
        return self.candidates_of_tokens([doc[i]], k, max_pieces)[0]

    def candidates_of_tokens(
        self,
        tokens: Sequence[Token],
        k: int | None = None,
        max_pieces: int | None = None,
    ) -> list[list[Candidate]]:
        """As ``candidates``, for tokens of any Docs at once."""
        model = self.language_model()
        asked = {"k": k, "max_pieces": max_pieces}
        options = {name: value for name, value in asked.items() if value is not None}
        places = places_of_tokens(tokens, model.tokenizer)
        return find_candidates(model, places, **{**self._search, **options})

    def log_likelihoods(
        self, docs: Iterable[Doc], hidden: str = "piece"
    ) -> list[NDArray[np.float64]]:
        """The pseudo-log-likelihood of each token, in nats; their sum is the Doc's.

        Args:
            docs: Any number.
            hidden: As in ``pseudo_log_likelihoods``.

        Returns:
            Of each Doc the sums over the pieces of its tokens, float64 [tokens]. A
            piece that spans two tokens counts for the first; white space has 0.
        """
        docs = list(docs)
        found = self.piece_log_likelihoods(docs, hidden)
        aligned = align(docs, self.language_model().tokenizer)
        return [sums_per_token(*pair) for pair in zip(found, aligned, strict=True)]

    def piece_log_likelihoods(
        self, docs: Iterable[Doc], hidden: str = "piece"
    ) -> list[NDArray[np.float64]]:
        """As ``log_likelihoods``, of each piece of a Doc, float64 [pieces].

        That of a special piece, as [MASK], is nan.
        """
        model = self.language_model()
        aligned = align(list(docs), model.tokenizer)
        return pseudo_log_likelihoods(model, [part.ids for part in aligned], hidden)

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """The words for every [MASK], and likelihoods, without setting them."""
        docs = list(docs)
        note_language(self.model.encoder.load(), docs)
        hidden = self.cfg["hidden"]
        sums: list[float | None] = [None] * len(docs)
        if hidden is not None:
            sums = [float(own.sum()) for own in self.log_likelihoods(docs, hidden)]
        if isinstance(self.model.encoder, EncoderListener):
            # It looks at other texts than the upstream did, so it needs no states.
            release(docs)
        masks = fill_masks(self.language_model(), docs, **self._search)
        return list(map(Prediction, masks, sums))

    def set_annotations(
        self, docs: Iterable[Doc], scores: Iterable[Prediction]
    ) -> None:
        """Set what ``predict`` found."""
        for doc, found in zip(docs, scores, strict=True):
            store(doc, self.cfg["masks_attribute"], found.masks)
            if found.log_likelihood is not None:
                store(doc, self.cfg["likelihood_attribute"], found.log_likelihood)

    def learn(self, examples: Sequence[Example]) -> float:
        """Learn from the text of examples, some pieces of which are hidden."""
        docs = [example.predicted for example in examples]
        targets = masked_targets(self.model, docs, self.masking, self.step)
        self.step += 1
        return learn(self.model, targets)

    def knowledge(self, docs: Sequence[Doc]) -> Knowledge | None:
        """Loss and accuracy on Docs with some pieces hidden, always the same ones."""
        return masked_knowledge(self.model, docs, self.masking)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score held-out text; examples need no annotation."""
        own = {
            "measure": self.knowledge,
            "piece_likelihoods": self.piece_log_likelihoods,
        }
        return super().score(examples, **{**kwargs, **own})
