"""`electra_textcat`: labels, or numbers, for texts and for pairs of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.types import Floats2d
from thinc.util import to_numpy

from ..errors import Errors
from ..layers.head_model import Head
from ..layers.types import Text, TextPair
from ..source import DEFAULT_SOURCE
from .attributes import register, stored
from .component import HeadComponent, check_probability
from .places import Places, category, joined
from .scorers.textcat import Scores
from .training.losses import binary_cross_entropy, cross_entropy, mean_squared_error

PAIR = "text_pair"
# What a gold value may be, by problem.
_REQUIREMENTS = {
    "regression": "number",
    "single_label_classification": "one label of 1 and others of 0",
    "multi_label_classification": "probability of each label, 0 to 1",
}


@Language.factory(
    "electra_textcat",
    assigns=["doc.cats"],
    default_config={
        "model": {
            "@architectures": "spacy-electra.SequenceClassification.v1",
            "problem_type": None,
            "encoder": {
                "@architectures": "spacy-electra.Encoder.v1",
                "source": DEFAULT_SOURCE,
            },
        },
        "threshold": 0.5,
        "scorer": {"@scorers": "spacy-electra.TextcatScorer.v1"},
    },
    default_score_weights={
        "cats_score": 1.0,
        "cats_micro_f": None,
        "cats_macro_f": None,
        "cats_macro_auc": None,
        "cats_pearson": None,
        "cats_spearman": None,
        "cats_mse": None,
    },
)
def make_electra_textcat(
    nlp: Language,
    name: str,
    model: Head,
    threshold: float,
    scorer: Callable[..., Scores] | None,
) -> ElectraTextcat:
    """Create the component; arguments as in ``ElectraTextcat``."""
    component = ElectraTextcat(
        nlp.vocab, model, name, threshold=threshold, scorer=scorer
    )
    return joined(nlp, component)


class ElectraTextcat(HeadComponent):
    """Classification and regression of texts, as a pipeline component.

    Sets ``doc.cats``: probabilities of the labels, or numbers. A Doc whose
    ``doc._.text_pair`` is a string is the first text of a pair, and that the second. A
    long text is read in windows, whose logits are averaged; nothing is cut off. A Doc
    without tokens gets 0 for every label.

    Args:
        vocab: The pipeline's.
        model: From texts to logits, as ``spacy-electra.SequenceClassification.v1``
            makes it; its ``problem_type`` says what the labels are.
        name: Of the component.
        threshold: Probability from which a label counts in scores, where labels do not
            exclude each other.
        scorer: Scores ``doc.cats``.

    Raises:
        ValueError: If the threshold is no probability.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Head,
        name: str = "electra_textcat",
        *,
        threshold: float = 0.5,
        scorer: Callable[..., Scores] | None = None,
    ) -> None:
        super().__init__(vocab, model, name, scorer=scorer, threshold=threshold)
        check_probability("threshold", threshold)
        # Losses are computed here, from logits.
        model.attrs["gives_logits"] = True
        register({PAIR: {"default": None}})

    gold_place = "doc.cats"

    @property
    def places(self) -> Places:
        """Its labels, once they have names."""
        config = self.model.shim.config
        labels = () if config is None or not config.has_named_labels else config.labels
        return dict.fromkeys(map(category, labels), "")

    @property
    def problem(self) -> str:
        """What the labels are: as ``problem_type`` of the architecture."""
        return self.model.config.problem

    def texts(self, docs: Sequence[Doc]) -> Sequence[Text]:
        """The Docs, or the pairs that they are the first texts of."""
        seconds = [stored(doc, PAIR, None) for doc in docs]
        return [
            doc if second is None else TextPair(doc, after=second)
            for doc, second in zip(docs, seconds, strict=True)
        ]

    def labels_in(self, example: Example) -> Iterable[str]:
        """The labels of an example's gold ``cats``, which must fit the problem."""
        self.check_gold(example)
        return example.reference.cats

    def check_gold(self, example: Example) -> None:
        """Refuse gold values that are not what the problem asks for.

        Raises:
            ValueError: If there are any.
        """
        values = list(example.reference.cats.values())
        problem = self.problem
        fits = problem == "regression" or all(0.0 <= value <= 1.0 for value in values)
        if problem.startswith("single"):
            fits = set(values) <= {0.0, 1.0} and values.count(1.0) <= 1
        if not fits or not np.isfinite(values).all():
            raise ValueError(
                Errors.SE397(
                    cats=dict(example.reference.cats),
                    requirement=_REQUIREMENTS[problem],
                )
            )

    def get_loss(
        self, examples: Iterable[Example], scores: Floats2d
    ) -> tuple[float, Any]:
        """Cross-entropy or squared error, as Transformers' class has it.

        Args:
            examples: With gold ``cats``; one without any counts for nothing, and so
                does a label that it does not name, unless labels exclude each other.
            scores: Logits, or numbers, float32 [texts, labels].

        Returns:
            The loss, and its gradient, float32 [texts, labels].
        """
        examples = list(examples)
        for example in examples:
            self.check_gold(example)
        gold = self._gold([example.reference for example in examples])
        known = ~np.isnan(gold)
        values = np.where(known, gold, 0.0)
        logits = to_numpy(scores)
        if self.problem == "regression":
            loss, gradient = mean_squared_error(logits, values, known)
        elif self.problem == "multi_label_classification":
            loss, gradient = binary_cross_entropy(logits, values, known)
        else:
            has_one = values.max(1, initial=0.0) == 1.0
            labels = np.where(has_one, values.argmax(1), -1)
            loss, gradient = cross_entropy(logits, labels)
        return loss, gradient

    def _gold(self, docs: Sequence[Doc]) -> NDArray[np.float64]:
        """Gold values, float [texts, labels], NaN where there is none."""
        rows = [[doc.cats.get(label, np.nan) for label in self.labels] for doc in docs]
        return np.array(rows, dtype=np.float64).reshape(len(docs), len(self.labels))

    def set_annotations(self, docs: Iterable[Doc], scores: Iterable[Any]) -> None:
        """Set what ``predict`` found."""
        for doc, logits in zip(docs, scores, strict=True):
            values = self.model.probabilities(logits) * bool(len(doc))
            doc.cats.update(zip(self.labels, values.tolist(), strict=True))

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Scores:
        """Score ``doc.cats`` against the references'."""
        own = {
            "labels": self.labels,
            "problem": self.problem,
            "threshold": self.cfg["threshold"],
        }
        return {} if self.scorer is None else self.scorer(examples, **{**kwargs, **own})
