"""What a component has that suggests words for those that it marks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.training import Example

from ..errors import Errors
from ..layers.candidates import Candidate, places_of_tokens, weighed_candidates
from ..layers.heads import generator_shim
from ..layers.language_model import LanguageModel, window_attributes
from ..layers.listener import EncoderListener
from ..layers.network_shim import NetworkShim
from ..layers.spelling import KNOWN, UNKNOWN, Channel
from ..source import resolve_source
from .attributes import register_on_spans
from .calibration.component import CalibratedComponent
from .generators import folder_beside, open_generator

SUGGESTIONS, SUGGESTION_ATTRIBUTE = "suggestions", "suggestion_attribute"
# Of words of two pieces the search follows so many ends.
_MOST_PIECES, _BEAM = 2, 4


class SuggestingComponent(CalibratedComponent):
    """A component over a head whose marked words get suggestions.

    A generator says which words the context lets expect, and a noisy channel which of
    them account for the spelling of the word that is there (``spelling``). So what is
    suggested for "recieve" is "receive" first, and for a word that was put there what
    the context says. It is never the marked word itself, and has its capitals.

    The generator takes the second shim of ``spacy-electra.RTD.v1``, where pretraining
    has its own, so it is saved with the component. It is read when it is needed first.
    """

    def set_suggestions(
        self, suggestions: int, generator: str | os.PathLike[str] | None, attribute: str
    ) -> None:
        """Take over the settings, whose meaning ``ElectraRTD`` tells."""
        self._generator_source = generator
        self._is_from_disk = False
        self.cfg[SUGGESTION_ATTRIBUTE] = attribute
        self.suggestions = suggestions

    @property
    def suggestions(self) -> int:
        """Suggestions for each marked word; may be changed at any time."""
        return int(self.cfg.get(SUGGESTIONS, 0))

    @suggestions.setter
    def suggestions(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(
                Errors.SE003(name=SUGGESTIONS, requirement="0 or more", value=value)
            )
        if value:
            register_on_spans(
                SUGGESTION_ATTRIBUTE, self.cfg[SUGGESTION_ATTRIBUTE], default=()
            )
        self._keep(SUGGESTIONS, value or None)

    @property
    def is_listening(self) -> bool:
        """Whether the encoder is another component's."""
        return isinstance(self.model.encoder, EncoderListener)

    @property
    def has_generator(self) -> bool:
        """Whether there is a generator, read or not, to make suggestions with."""
        return not generator_shim(self.model).is_empty or self._folder() is not None

    def load_generator(self) -> NetworkShim:
        """The generator's shim, with weights.

        Raises:
            FileNotFoundError: If the setting ``generator`` leads nowhere.
            ValueError: If there is no generator, or it has another vocabulary.
        """
        shim = generator_shim(self.model)
        if shim.is_empty:
            tokenizer = self.model.encoder.load().tokenizer
            assert tokenizer is not None
            folder = self._folder()
            if folder is None:
                source = self.model.encoder.source
                where = f"beside {source!r}"
                if self._is_from_disk:
                    where = "in the saved pipeline"
                raise ValueError(Errors.SE500(name=self.name, where=where))
            network = open_generator(folder, tokenizer)
            shim.fill(network, network.config)
        shim.move_to_default_device()
        return shim

    def _folder(self) -> Path | None:
        if self._generator_source is not None:
            return resolve_source(self._generator_source)
        # A saved pipeline holds what it has, and looks at its source no more.
        return None if self._is_from_disk else folder_beside(self.model.encoder.source)

    def generator(self) -> LanguageModel:
        """The generator as functions like ``find_candidates`` take it."""
        encoder = self.model.encoder.load()
        shim = self.load_generator()
        assert encoder.tokenizer is not None and shim.config is not None
        run = shim.ready(is_train=False, precision=encoder.precision)
        attrs = window_attributes(self.model.encoder)
        most = encoder.rows_per_pass(encoder.device)
        return LanguageModel(
            encode=lambda batch: run(
                lambda net: net.electra.forward_packed(batch).last_hidden_state
            )[0],
            head=lambda hidden: run(lambda net: net.head(hidden))[0],
            tokenizer=encoder.tokenizer,
            device=shim.device,
            window=min(attrs["window"], shim.config.max_position_embeddings),
            max_tokens=min(attrs["max_tokens"], most or np.inf),
        )

    def suggest(
        self, tokens: Sequence[Token], k: int | None = None
    ) -> list[list[Candidate]]:
        """Words that would fit in place of tokens, marked or not, likeliest first.

        Args:
            tokens: Of any Docs; those of a Doc best stand together.
            k: Most words for each; by default as many as the settings say.

        Returns:
            For each token words with probabilities: of the words that the generator
            knows, how likely each is the one that was meant, given that it is not the
            one that is there. None for white space.

        Raises:
            ValueError: If k is not positive; see ``load_generator``.
        """
        if not tokens:
            return []
        model = self.generator()
        places = places_of_tokens(tokens, model.tokenizer)
        channels = [
            Channel(
                token.text,
                KNOWN if place and place.end - place.start == 1 else UNKNOWN,
            )
            for token, place in zip(tokens, places, strict=True)
        ]
        found = weighed_candidates(
            model,
            places,
            channels,
            self.suggestions if k is None else k,
            max_pieces=_MOST_PIECES,
            beam=_BEAM,
        )
        return [
            [Candidate(_in_case_of(token.text, word), p) for word, p in own]
            for token, own in zip(tokens, found, strict=True)
        ]

    def store_suggestions(self, docs: Iterable[Doc], spans_key: str) -> None:
        """Set suggestions on the marked spans of Docs, as pairs."""
        spans = [span for doc in docs for span in doc.spans[spans_key]]
        found = self.suggest([span[0] for span in spans])
        for span, own in zip(spans, found, strict=True):
            span._.set(self.cfg[SUGGESTION_ATTRIBUTE], tuple(map(tuple, own)))

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        """Read the weights, and the generator if it is needed; as in the base."""
        super().initialize(get_examples, nlp=nlp, labels=labels)
        self._is_from_disk = False
        if self.suggestions:
            self.load_generator()

    def _complete(self) -> None:
        """Read the generator before its component is saved."""
        if self.suggestions and not self.model.shim.is_empty:
            self.load_generator()

    def to_disk(
        self, path: str | os.PathLike[str], *, exclude: Iterable[str] = ()
    ) -> None:
        """Save the component, with its generator where it makes suggestions."""
        self._complete()
        super().to_disk(path, exclude=exclude)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The component, with its generator where it makes suggestions."""
        self._complete()
        return super().to_bytes(exclude=exclude)

    def from_disk(
        self, path: str | os.PathLike[str], *, exclude: Iterable[str] = ()
    ) -> SuggestingComponent:
        """Load the component, and its generator if it has one."""
        super().from_disk(path, exclude=exclude)
        self._loaded()
        return self

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = ()
    ) -> SuggestingComponent:
        """Load what ``to_bytes`` gave."""
        super().from_bytes(bytes_data, exclude=exclude)
        self._loaded()
        return self

    def _loaded(self) -> None:
        self._is_from_disk = not self.model.shim.is_empty
        # The attribute is registered where it was not yet.
        self.suggestions = self.suggestions


def _in_case_of(written: str, word: str) -> str:
    """A word in lower case with the capitals of another."""
    if word != word.lower():
        return word
    if len(written) > 1 and written.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if written[:1].isupper() else word
