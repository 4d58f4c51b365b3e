"""What components over a head share: how they run, learn, and set what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import minibatch
from spacy.vocab import Vocab
from thinc.api import Optimizer
from thinc.util import to_numpy

from ..errors import Errors
from ..layers.head_model import Head
from ..layers.listener import EncoderListener
from ..layers.types import Text
from ..tokenization.bounds import bounds_remembered
from .pipeline_ref import PipelineRef
from .places import Places, check_places

# Docs are run in groups of so many spaCy tokens: enough to sort windows by length, few
# enough for the states of their pieces to stay small. Of a network of a width of 256
# they are less than 32 MiB, what malloc gives again without asking the system.
TOKENS_PER_GROUP = 16_384


class HeadComponent(TrainablePipe):
    """A component over a head; a class of its own says what it learns and sets.

    That class defines ``get_loss`` and ``set_annotations``, and ``labels_in`` where its
    head has labels.

    Args:
        vocab: The pipeline's.
        model: A head over an encoder.
        name: Of the component.
        scorer: Scores examples.
        cfg: Settings that are saved with it.
    """

    # Where gold labels are looked for, for messages; "" of a head that has none.
    gold_place: str = ""
    # The pipeline that the factory made it for.
    pipeline = PipelineRef()

    def __init__(
        self,
        vocab: Vocab,
        model: Head,
        name: str,
        *,
        scorer: Callable[..., dict[str, Any]] | None = None,
        **cfg: Any,
    ) -> None:
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self.cfg: dict[str, Any] = cfg

    @property
    def is_listening(self) -> bool:
        """Whether the encoder is another component's."""
        return isinstance(self.model.encoder, EncoderListener)

    @property
    def places(self) -> Places:
        """Where it sets what no other component may set, and by which setting."""
        return {}

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the head's labels, in order; none while it has no weights."""
        config = self.model.shim.config
        return () if config is None else config.labels

    @property
    def label_data(self) -> tuple[str, ...]:
        """What ``spacy init labels`` writes for ``initialize``."""
        return self.labels

    def add_label(self, label: str) -> int:
        """Add a label, whose row of the head is new; 0 if it is there already.

        Raises:
            ValueError: If it is no string.
        """
        if not isinstance(label, str):
            raise ValueError(SpacyErrors.E187)
        known = self._named_labels()
        if label in known:
            return 0
        self._set_labels([*known, label])
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        """Read the weights from the encoder's source, and the labels from the data.

        A checkpoint that knows one of the data's labels keeps all of its own, and those
        that it lacks come after them.

        Args:
            get_examples: Gives examples with gold annotation.
            nlp: The pipeline; no other component of it may set the same.
            labels: In place of those of the data.

        Raises:
            ValueError: If there is no example, or a head that needs labels finds none;
                or another component would overwrite what this one sets.
        """
        validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        if next(iter(get_examples()), None) is None:
            raise ValueError(Errors.SE456(name=self.name))
        self.model.initialize()
        self.model.encoder.calibrate(eg.reference for eg in get_examples())
        if labels is None:
            examples = get_examples()
            found = (label for example in examples for label in self.labels_in(example))
            labels = list(dict.fromkeys(found))
            known = self._named_labels()
            if any(label in known for label in labels):
                labels = list(dict.fromkeys([*known, *labels]))
        self._set_labels(list(labels))
        lacks_labels = bool(self.gold_place) and not self._named_labels()
        if lacks_labels and not is_made_up(islice(get_examples(), 2)):
            raise ValueError(Errors.SE398(what=self.gold_place, name=self.name))
        if nlp is not None:
            check_places(nlp, self)

    def _named_labels(self) -> tuple[str, ...]:
        config = self.model.load().config
        assert config is not None
        return config.labels if config.has_named_labels else ()

    def _set_labels(self, labels: Sequence[str]) -> None:
        if labels:
            self.model.set_labels(labels)
        for label in labels:
            # A string of its own, so that nlp.memory_zone() does not free it.
            self.vocab.strings.add(label)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of Docs, in groups of about one size.

        Args:
            stream: Any number of Docs.
            batch_size: Docs to take from it at a time.
        """
        return annotate_in_groups(self, stream, batch_size, TOKENS_PER_GROUP)

    def predict(self, docs: Iterable[Doc]) -> list[Any]:
        """What the head gives for each text, without setting it, as NumPy arrays."""
        outputs = self.model.predict(self.texts(list(docs)))
        return [to_numpy(part) for part in outputs]

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch.

        Args:
            examples: With gold annotation.
            drop: Not used; dropout is part of the checkpoint's config.
            sgd: Changes the weights at once, where given.
            losses: Gets the loss under the component's name.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        if any(len(example.predicted) for example in examples):
            losses[self.name] += self.learn(examples)
            if sgd not in (None, False):
                self.finish_update(sgd)
        return losses

    def learn(self, examples: Sequence[Example]) -> float:
        """Add the gradients of a batch to those of the weights; gives the loss."""
        texts = self.texts([example.predicted for example in examples])
        outputs, backprop = self.model.begin_update(texts)
        loss, gradient = self.get_loss(examples, outputs)
        backprop(gradient)
        return loss

    def texts(self, docs: Sequence[Doc]) -> Sequence[Text]:
        """What the encoder gets for Docs: themselves, or pairs with other texts."""
        return docs

    def labels_in(self, example: Example) -> Iterable[str]:
        """The labels of an example's gold annotation."""
        return ()

    def get_loss(self, examples: Iterable[Example], scores: Any) -> tuple[float, Any]:
        """The loss of a batch, and its gradient in the form of the head's outputs."""
        raise NotImplementedError

    def set_annotations(self, docs: Iterable[Doc], scores: Iterable[Any]) -> None:
        """Set what ``predict`` found."""
        raise NotImplementedError


def is_made_up(examples: Iterable[Example]) -> bool:
    """Whether examples are spaCy's own, of an ``nlp.initialize()`` without any.

    They tell a component nothing, and it has to be initialized all the same.
    """
    words = [[token.text for token in example.reference] for example in examples]
    return words == [["x", "y", "z"]]


def groups_by_length(
    docs: Sequence[Doc], tokens: int, size_of: Callable[[Doc], int] = len
) -> Iterator[list[Doc]]:
    """Docs in their order, in groups of at most ``tokens`` or of one Doc.

    Args:
        docs: Any number.
        tokens: Most tokens of a group.
        size_of: How many tokens a Doc counts for.
    """
    group: list[Doc] = []
    room = tokens
    for doc in docs:
        size = size_of(doc)
        if group and size > room:
            yield group
            group, room = [], tokens
        group.append(doc)
        room -= size
    if group:
        yield group


def annotate_in_groups(
    component: TrainablePipe, stream: Iterable[Doc], batch_size: int, tokens: int
) -> Iterator[Doc]:
    """Predict and set, group by group; what the ``pipe`` of a component does.

    Args:
        component: Its error handler gets the whole group where a Doc of it fails.
        stream: Any number of Docs.
        batch_size: Docs to take from it at a time.
        tokens: Most spaCy tokens of a group; a longer Doc is one of its own.

    Yields:
        The Docs in their order, but for those of groups that failed.
    """
    for docs in minibatch(stream, batch_size):
        for group in groups_by_length(docs, tokens):
            try:
                with bounds_remembered():
                    component.set_annotations(group, component.predict(group))
            except Exception as error:
                handle = component.get_error_handler()
                handle(component.name, component, group, error)
            else:
                yield from group


def store_spans(doc: Doc, key: str, spans: list[Span], scores: ArrayLike) -> None:
    """Set a span group with a score for each span, as spaCy's ``spancat`` does.

    Args:
        doc: Of the spans.
        key: Of the group in ``doc.spans``.
        spans: Any number.
        scores: One each; they are ``doc.spans[key].attrs["scores"]``, float32.
    """
    attrs = {"scores": np.asarray(scores, dtype=np.float32)}
    doc.spans[key] = SpanGroup(doc, name=key, spans=spans, attrs=attrs)


def check_probability(name: str, value: float) -> None:
    """Refuse a setting that is no probability.

    Raises:
        ValueError: If it is not from 0 to 1.
    """
    if not 0.0 <= value <= 1.0:
        requirement = "a probability, 0 to 1"
        raise ValueError(Errors.SE003(name=name, requirement=requirement, value=value))
