"""`electra_causal_lm`: how surprising each word is, and texts that go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from ..layers.encoding import note_language
from ..layers.head_model import Head
from ..layers.language_model import LanguageModel, window_attributes
from ..layers.likelihood import log_likelihoods, sums_per_token
from ..layers.listener import EncoderListener, release
from ..layers.writing import write_on
from ..source import DEFAULT_GENERATOR
from ..tokenization.alignment import align
from .attributes import NO_SCORE, register, register_on_tokens, store
from .component import HeadComponent
from .per_token import store_per_token
from .places import Places, joined
from .training.language_models import (
    Knowledge,
    learn,
    next_piece_knowledge,
    next_piece_targets,
)

DEFAULT_MODEL = {
    "@architectures": "spacy-electra.CausalLM.v1",
    "encoder": {
        "@architectures": "spacy-electra.Encoder.v1",
        "source": DEFAULT_GENERATOR,
    },
}


class Surprise(NamedTuple):
    """What is set on a Doc.

    Args:
        surprisal: Of each token, in bits, float64 [tokens].
        log_likelihood: Of the Doc, in nats.
    """

    surprisal: NDArray[np.float64]
    log_likelihood: float


@Language.factory(
    "electra_causal_lm",
    assigns=["token._.surprisal", "doc._.log_likelihood"],
    default_config={
        "model": DEFAULT_MODEL,
        "surprisal_attribute": "surprisal",
        "likelihood_attribute": "log_likelihood",
        "scorer": {"@scorers": "spacy-electra.CausalLMScorer.v1"},
    },
    default_score_weights={
        "causal_lm_accuracy": 1.0,
        "causal_lm_loss": None,
        "causal_lm_perplexity": None,
        "causal_lm_bits_per_character": None,
    },
)
def make_electra_causal_lm(
    nlp: Language,
    name: str,
    model: Head,
    surprisal_attribute: str,
    likelihood_attribute: str,
    scorer: Callable[..., dict[str, Any]] | None,
) -> ElectraCausalLM:
    """Create the component; arguments as in ``ElectraCausalLM``."""
    component = ElectraCausalLM(
        nlp.vocab,
        model,
        name,
        surprisal_attribute=surprisal_attribute,
        likelihood_attribute=likelihood_attribute,
        scorer=scorer,
    )
    return joined(nlp, component)


class ElectraCausalLM(HeadComponent):
    """A causal language model as a pipeline component.

    Sets on each token its surprisal, -log2 of its probability given all that stands
    before it, in bits: the sum over its pieces. The first piece of a text is given
    [CLS] alone; a piece that spans two tokens counts for the first of them; white space
    has 0. A Doc longer than a window is read in windows that keep at least window -
    stride - 1 pieces of left context.

    Args:
        vocab: The pipeline's.
        model: From Docs to logits, as ``spacy-electra.CausalLM.v1`` makes it.
        name: Of the component.
        surprisal_attribute: Name of the extension attribute for tokens.
        likelihood_attribute: Name of that for the log-likelihood of the Doc, in nats.
        scorer: Scores held-out text.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Head,
        name: str = "electra_causal_lm",
        *,
        surprisal_attribute: str = "surprisal",
        likelihood_attribute: str = "log_likelihood",
        scorer: Callable[..., dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(
            vocab,
            model,
            name,
            scorer=scorer,
            surprisal_attribute=surprisal_attribute,
            likelihood_attribute=likelihood_attribute,
        )
        register({likelihood_attribute: {"default": None}})
        register_on_tokens("surprisal_attribute", surprisal_attribute, default=NO_SCORE)

    @property
    def places(self) -> Places:
        """Its attributes."""
        return {
            f"token._.{self.cfg['surprisal_attribute']}": "surprisal_attribute",
            f"doc._.{self.cfg['likelihood_attribute']}": "likelihood_attribute",
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """None: what it predicts is the vocabulary of its tokenizer."""
        return ()

    def predict(self, docs: Iterable[Doc]) -> list[Surprise]:
        """How surprising Docs are, without setting it."""
        docs = list(docs)
        model = LanguageModel.from_head(self.model)
        note_language(self.model.encoder.load(), docs)
        aligned = align(docs, model.tokenizer)
        stride = window_attributes(self.model.encoder)["stride"]
        found = log_likelihoods(model, [part.ids for part in aligned], stride)
        if isinstance(self.model.encoder, EncoderListener):
            # It reads texts in windows of its own, so it needs no states.
            release(docs)
        return [
            # Minus zero is for nobody to read.
            Surprise(0.0 - sums_per_token(own, part) / np.log(2), float(own.sum()))
            for own, part in zip(found, aligned, strict=True)
        ]

    def set_annotations(self, docs: Iterable[Doc], scores: Iterable[Surprise]) -> None:
        """Set what ``predict`` found."""
        attribute = self.cfg["surprisal_attribute"]
        for doc, found in zip(docs, scores, strict=True):
            store_per_token([doc], {attribute: found.surprisal})
            store(doc, self.cfg["likelihood_attribute"], found.log_likelihood)

    def generate(
        self, texts: Sequence[str], max_new_tokens: int = 20, **options: Any
    ) -> list[str]:
        """Write on from texts.

        Args:
            texts: Any number; an empty one begins with [CLS] alone.
            max_new_tokens: Most pieces to add. With those of the text they must not be
                more than the network has positions.
            options: As in ``ElectraForCausalLM.generate``: ``do_sample``,
                ``temperature``, ``top_k``, ``top_p``, ``seed``; and ``stop``, here a
                list of strings, which are kept. [SEP] ends a text too, as in training.

        Returns:
            What follows each text, as the tokenizer decodes it: in lower case where it
            lower-cases.

        Raises:
            ValueError: If a text is too long, or an option can't be.
        """
        return write_on(self.model, texts, max_new_tokens, **options)

    def learn(self, examples: Sequence[Example]) -> float:
        """Learn from the text of examples: every piece, and where a text ends."""
        docs = [example.predicted for example in examples]
        return learn(self.model, next_piece_targets(self.model, docs))

    def knowledge(self, docs: Sequence[Doc]) -> Knowledge | None:
        """Loss and accuracy on Docs, at every piece."""
        return next_piece_knowledge(self.model, docs)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score held-out text; examples need no annotation."""
        return super().score(examples, **{**kwargs, "measure": self.knowledge})
