"""`electra_multiple_choice`: says which of some choices goes with a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.util import to_numpy

from ..errors import Errors
from ..layers.head_model import Head
from ..layers.types import TextPair
from ..source import DEFAULT_SOURCE
from .attributes import same_inputs
from .choices import gold_choice, register_choices, set_choice, texts_of_choices
from .pair_component import PairComponent
from .places import joined
from .training.losses import cross_entropy

Scores = dict[str, Any]
Floats = NDArray[np.float64]
# Choices need room beside them, so the windows are longer than an encoder's by default;
# more positions not every bundled checkpoint has.
DEFAULT_MODEL = {
    "@architectures": "spacy-electra.MultipleChoice.v1",
    "encoder": {
        "@architectures": "spacy-electra.Encoder.v1",
        "source": DEFAULT_SOURCE,
        "window": 256,
        "stride": 192,
    },
}


@Language.factory(
    "electra_multiple_choice",
    requires=["doc._.choices"],
    assigns=["doc._.choice", "doc._.choice_scores"],
    default_config={
        "model": DEFAULT_MODEL,
        "scorer": {"@scorers": "spacy-electra.ChoiceScorer.v1"},
    },
    default_score_weights={"choice_acc": 1.0},
)
def make_electra_multiple_choice(
    nlp: Language, name: str, model: Head, scorer: Callable[..., Scores] | None
) -> ElectraMultipleChoice:
    """Create the component; arguments as in ``ElectraMultipleChoice``."""
    component = ElectraMultipleChoice(nlp.vocab, model, name, scorer=scorer)
    return joined(nlp, component)


class ElectraMultipleChoice(PairComponent):
    """Multiple choice as a pipeline component.

    Set ``doc._.choices`` on Docs before they reach it (``nlp.pipe`` takes Docs from
    ``nlp.make_doc``), and ``doc._.question`` where there is one; it goes before each
    choice. It sets ``doc._.choice``, the number of the best choice from 0, and
    ``doc._.choice_scores``, the probability of each; None and an empty list where there
    are no choices. The number of choices may differ from Doc to Doc.

    A text longer than a window is read in several, each with the whole choice; a
    choice's score is the mean of theirs as odds: log(mean(exp(logit))).

    Args:
        vocab: The pipeline's.
        model: From pairs of a Doc and a choice to one logit per window, as
            ``spacy-electra.MultipleChoice.v1`` makes it.
        name: Of the component.
        scorer: Scores choices against gold ones.
    """

    inputs = ("choices", "question")
    gold = "choice"

    def __init__(
        self,
        vocab: Vocab,
        model: Head,
        name: str = "electra_multiple_choice",
        *,
        scorer: Callable[..., Scores] | None = None,
    ) -> None:
        super().__init__(vocab, model, name, scorer=scorer)
        register_choices()

    def pairs_of(self, doc: Doc) -> list[TextPair]:
        """The Doc with each of its choices after it."""
        return [TextPair(doc, after=text) for text in texts_of_choices(doc)]

    def texts(self, docs: Sequence[Doc]) -> list[TextPair]:
        """The pairs of all Docs.

        Raises:
            ValueError: If the checkpoint's head reads something else than [CLS].
        """
        summary = self.model.load().network.summary.kind
        if summary != "first":
            raise ValueError(Errors.SE384(found=summary))
        return super().texts(docs)

    def set_annotations(
        self, docs: Iterable[Doc], scores: Iterable[Sequence[Any]]
    ) -> None:
        """Set what ``predict`` found."""
        for doc, outputs in zip(docs, scores, strict=True):
            logits = np.array([pooled(each)[0] for each in outputs])
            if len(logits):
                set_choice(doc, int(logits.argmax()), softmax(logits).tolist())
            else:
                set_choice(doc, None, [])

    def get_loss(
        self, examples: Iterable[Example], scores: Sequence[Any]
    ) -> tuple[float, list[Any]]:
        """Cross-entropy of the right choices, the mean over examples that have one.

        Args:
            examples: With the same choices on both Docs.
            scores: The logits that the model gave for each choice of each example.

        Returns:
            The loss in nats, and its gradient with respect to the logits of each
            choice.
        """
        examples = list(examples)
        for example in examples:
            same_inputs(example, self.inputs)
        gold = [gold_choice(example.reference) for example in examples]
        total = max(sum(choice is not None for choice in gold), 1)
        parts = iter([pooled(each) for each in scores])
        loss, gradients = 0.0, []
        for example, choice in zip(examples, gold, strict=True):
            own = [next(parts) for _ in texts_of_choices(example.predicted)]
            slopes = np.zeros(len(own))
            if choice is not None:
                logits = [[logit for logit, _ in own]]
                part, (slopes,) = cross_entropy(logits, [choice])
                loss += part / total
            for slope, (_, shares) in zip(slopes / total, own, strict=True):
                gradients.append((slope * shares).astype(np.float32))
        return loss, gradients


def pooled(logits: Any) -> tuple[float, Floats]:
    """The logit of a choice from those of its windows, and its gradient, [W].

    It is the logarithm of the mean of their exponentials, so one window that speaks
    for a choice is enough, and having more windows is no advantage.
    """
    values = np.asarray(to_numpy(logits), dtype=np.float64)
    shares = softmax(values)
    highest = values.max()
    return float(highest + np.log(np.exp(values - highest).mean())), shares


def softmax(logits: Floats) -> Floats:
    """Probabilities that add up to 1."""
    weights = np.exp(logits - logits.max())
    probabilities: Floats = weights / weights.sum()
    return probabilities


@registry.scorers("spacy-electra.ChoiceScorer.v1")
def make_choice_scorer() -> Callable[..., Scores]:
    """Accuracy of ``doc._.choice``."""
    return score_choices


def score_choices(examples: Iterable[Example], **kwargs: Any) -> Scores:
    """Score the choices of predicted Docs against those of the references.

    Args:
        examples: Those whose reference has no choice are left out.
        kwargs: Not used; scorers of one pipeline share their arguments.

    Returns:
        ``choice_acc``, 0 to 1; None where no reference has a choice.

    Raises:
        ValueError: If the two Docs of an example differ in text, question or choices.
    """
    right = []
    for example in examples:
        choice = gold_choice(example.reference)
        if choice is not None:
            same_inputs(example, ElectraMultipleChoice.inputs)
            right.append(example.predicted._.choice == choice)
    return {"choice_acc": sum(right) / len(right) if right else None}
