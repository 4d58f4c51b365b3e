"""What the components share that read a Doc beside other texts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, ClassVar

from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example

from ..errors import Errors
from ..layers.listener import skip
from ..layers.types import TextPair
from .attributes import is_stored, same_inputs, stored
from .component import TOKENS_PER_GROUP, HeadComponent, groups_by_length
from .places import Places

# Examples that are looked at before training begins.
EXAMPLES_TO_SEE = 100


class PairComponent(HeadComponent):
    """A component over a head that reads a Doc once beside each of some texts.

    A class of its own says which texts, and what ``HeadComponent`` asks for.

    Attributes:
        inputs: Names of the extension attributes that it reads.
        gold: Name of the one that it learns.
    """

    inputs: ClassVar[tuple[str, ...]]
    gold: ClassVar[str]

    @abstractmethod
    def pairs_of(self, doc: Doc) -> list[TextPair]:
        """The Doc with each of its texts."""

    @property
    def places(self) -> Places:
        """The attribute that it sets, whose name is fixed."""
        return {f"doc._.{self.gold}": ""}

    @property
    def labels(self) -> tuple[str, ...]:
        """None: the texts differ from Doc to Doc."""
        return ()

    @property
    def label_data(self) -> None:  # type: ignore[override]
        """None, so ``spacy init labels`` has nothing to write."""
        return None

    def add_label(self, label: str) -> int:
        """Refused, as by every component without labels."""
        return int(TrainablePipe.add_label(self, label))

    def initialize(  # type: ignore[override]
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
    ) -> None:
        """Read the weights from the encoder's source, and look at the data.

        Args:
            get_examples: Gives examples with what is asked on both Docs.
            nlp: Not used.

        Raises:
            ValueError: If the two Docs of an example differ in that, or no example
                says what is right.
        """
        super().initialize(get_examples, nlp=nlp, labels=())
        examples = list(islice(get_examples(), EXAMPLES_TO_SEE))
        for example in examples:
            same_inputs(example, self.inputs)
        asked = [each for each in examples if stored(each.reference, self.inputs[0])]
        if asked and not any(is_stored(each.reference, self.gold) for each in asked):
            raise ValueError(Errors.SE383(gold=self.gold, asked=self.inputs[0]))

    def texts(self, docs: Sequence[Doc]) -> list[TextPair]:
        """The pairs of all Docs."""
        return [pair for doc in docs for pair in self.pairs_of(doc)]

    def predict(self, docs: Iterable[Doc]) -> list[list[Any]]:
        """What the head gives for each pair of each Doc, without setting it."""
        found: list[list[Any]] = []
        for group in groups_by_length(list(docs), TOKENS_PER_GROUP, self._size):
            counts = [len(self.pairs_of(doc)) for doc in group]
            alone = [doc for doc, n in zip(group, counts, strict=True) if not n]
            skip(self.model.encoder, alone)
            outputs = iter(self.model.predict(self.texts(group)))
            found += [list(islice(outputs, count)) for count in counts]
        return found

    def _size(self, doc: Doc) -> int:
        return len(doc) * len(self.pairs_of(doc))
