"""`electra_rtd`: marks the words of a text that do not belong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.types import Floats1d

from ..errors import Errors
from ..layers.head_model import Head
from ..pretraining.settings import settings_from
from .attributes import NO_FLAG, NO_SCORE, register_on_tokens
from .calibration.component import CALIBRATED, RATE
from .per_token import store_marks, store_per_token
from .places import Places, span_group
from .scorers.rtd import Scores, gold_labels, keys_in, with_key
from .suggestions import SUGGESTION_ATTRIBUTE, SUGGESTIONS, SuggestingComponent
from .training.losses import binary_cross_entropy, over_texts, sigmoid_of_each
from .training.rtd import AutoRTD, RTDObjective, SupervisedRTD, with_objective
from .training.rtd_pretraining import PretrainRTD, RTDPretraining

# Examples that an objective looks at before it begins.
EXAMPLES_TO_SEE = 2_000
_ATTRIBUTES = ("score_attribute", "flag_attribute")


class ElectraRTD(SuggestingComponent):
    """Replaced-token detection as a pipeline component.

    Sets on each token the probability that it was replaced, and whether that reaches
    the threshold, and gathers the marked words in ``doc.spans[spans_key]`` with their
    probabilities in ``.attrs["scores"]``. White space has probability 0, and so has a
    token that is unknown to the vocabulary: nothing can be said of it.

    Args:
        vocab: The pipeline's.
        model: From Docs to one logit a token, as ``spacy-electra.RTD.v1`` makes it.
        name: Of the component.
        threshold: Probability from which a word is marked.
        false_marks_per_1000: In its place, the wished rate of false marks in 1,000
            words of clean text; the calibration table has the threshold for it.
        calibration: File of that table; None takes the one beside the weights.
        domain: Of the table's domains, the one that counts; None for its default.
        calibrated: Whether scores are calibrated, by the table.
        suggestions: Words to suggest for each marked one; 0 reads no generator.
        generator: Their source; None takes the one beside that of the encoder.
        suggestion_attribute: Name of the extension attribute of spans for them.
        spans_key: Where the marked words go in ``doc.spans``; where gold labels are
            found in training.
        label: Label of those spans.
        score_attribute: Name of the extension attribute for the probability.
        flag_attribute: Name of the extension attribute for the mark.
        objective: What training does: "pretrain" learns from raw text, with a
            generator that replaces words; "supervised" learns from gold spans; "auto"
            takes the latter where the data has some. Or an object, such as
            ``spacy-electra.PretrainRTD.v1`` makes; then the next two mean nothing.
        positive_weight: With "supervised", weight of a marked token beside another.
        pretraining: With "pretrain", the fields of ``PretrainRTD``.
        scorer: Scores marks against gold spans.

    Raises:
        ValueError: If a value can't be; the message names it.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Head,
        name: str = "electra_rtd",
        *,
        threshold: float = 0.5,
        false_marks_per_1000: float | None = None,
        calibration: str | None = None,
        domain: str | None = None,
        calibrated: bool = False,
        suggestions: int = 0,
        generator: str | None = None,
        suggestion_attribute: str = "suggestions",
        spans_key: str = "rtd",
        label: str = "REPLACED",
        score_attribute: str = "rtd_score",
        flag_attribute: str = "is_replaced",
        objective: str | RTDObjective = "auto",
        positive_weight: float = SupervisedRTD.positive_weight,
        pretraining: dict[str, Any] | None = None,
        scorer: Callable[..., Scores] | None = None,
    ) -> None:
        if isinstance(objective, SupervisedRTD):
            positive_weight = objective.positive_weight
        pretrain = settings_from(PretrainRTD, "pretraining", pretraining or {})
        ways = (pretrain, SupervisedRTD(positive_weight), AutoRTD())
        self.objectives, objective = with_objective(ways, objective)
        if score_attribute == flag_attribute:
            raise ValueError(Errors.SE353(name=score_attribute))
        super().__init__(
            vocab,
            model,
            name,
            scorer=scorer,
            spans_key=spans_key,
            label=label,
            score_attribute=score_attribute,
            flag_attribute=flag_attribute,
            objective=objective,
            positive_weight=positive_weight,
        )
        self.set_calibration(
            threshold, false_marks_per_1000, calibration, domain, calibrated
        )
        self.set_suggestions(suggestions, generator, suggestion_attribute)
        # Of the objective "pretrain", once it has begun.
        self.pretraining: RTDPretraining | None = None
        # A string of its own, so that nlp.memory_zone() does not free it.
        vocab.strings.add(label)
        vocab.strings.add(spans_key)
        for key, default in zip(_ATTRIBUTES, (NO_SCORE, NO_FLAG), strict=True):
            register_on_tokens(key, self.cfg[key], default=default)

    @property
    def places(self) -> Places:
        """Its attributes and its group of spans."""
        places = {f"token._.{self.cfg[key]}": key for key in _ATTRIBUTES}
        if self.suggestions:
            # spaCy keeps a span's attributes by its place, whatever group it is in.
            name = self.cfg[SUGGESTION_ATTRIBUTE]
            places[f"span._.{name}"] = SUGGESTION_ATTRIBUTE
        return {**places, span_group(self.cfg["spans_key"]): "spans_key"}

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of the spans."""
        return (self.cfg["label"],)

    @property
    def objective(self) -> RTDObjective:
        """What training does; ``cfg["objective"]`` names it."""
        return self.objectives[self.cfg["objective"]]

    def initialize(  # type: ignore[override]
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
    ) -> None:
        """Read the weights from the encoder's source, and look at the data.

        Args:
            get_examples: Gives examples; for "supervised" some have gold spans.
            nlp: Not used.

        Raises:
            ValueError: If the objective is "supervised" and no example has spans.
        """
        super().initialize(get_examples, nlp=nlp)
        self.objective.begin(self, list(islice(get_examples(), EXAMPLES_TO_SEE)))

    def predict(self, docs: Iterable[Doc]) -> list[NDArray[np.float64]]:
        """The probability of each token of each Doc, without setting it."""
        is_calibrated = CALIBRATED in self.cfg
        convert = self.probabilities if is_calibrated else sigmoid_of_each
        return convert(super().predict(docs))

    def set_annotations(
        self, docs: Iterable[Doc], scores: Iterable[NDArray[np.float64]]
    ) -> None:
        """Set what ``predict`` found."""
        cfg, docs = self.cfg, list(docs)
        threshold = self.mark_threshold if RATE in cfg else cfg["threshold"]
        flat = np.concatenate([*scores, np.zeros(0)])
        marks = flat >= threshold
        score, flag = (cfg[key] for key in _ATTRIBUTES)
        store_per_token(docs, {score: flat}, {flag: marks})
        store_marks(docs, cfg["spans_key"], cfg["label"], flat, marks)
        if SUGGESTIONS in cfg:
            self.store_suggestions(docs, cfg["spans_key"])

    def learn(self, examples: Sequence[Example]) -> float:
        """Learn in the way of the objective."""
        return self.objective.learn(self, examples)

    def get_loss(
        self, examples: Iterable[Example], scores: Sequence[Floats1d]
    ) -> tuple[float, list[Any]]:
        """Weighted binary cross-entropy of gold labels, averaged over tokens.

        Args:
            examples: With gold spans; one without counts as free of replaced words.
            scores: Logits of each Doc's tokens.

        Returns:
            The loss in nats, and its gradient with respect to the logits. A token
            without pieces counts for neither.
        """
        key = self.cfg["spans_key"]
        labels = np.concatenate([gold_labels(example, key) for example in examples])
        weights = np.where(labels, self.cfg["positive_weight"], 1.0)
        return over_texts(binary_cross_entropy, scores, labels, weights)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Scores:
        """Score against gold spans, or, where there are none, by the objective.

        With the objective "pretrain" words of the examples' text are replaced as in
        training, always with the same seed, and both networks are scored on them.
        """
        examples = list(examples)
        key, scores = self.cfg["spans_key"], None
        if key not in keys_in(examples):
            scores = self.objective.score(self, examples)
        if scores is None:
            own = {"threshold": self.mark_threshold, "score_of": self.scores_of}
            scores = super().score(examples, **{**kwargs, "spans_key": key, **own})
        return with_key(scores, self, self.pipeline())
