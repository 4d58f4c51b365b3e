"""`electra_rtd`: marks the words of a text that do not belong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc, Span, SpanGroup, Token
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Optimizer
from thinc.types import Floats1d

from ..errors import Errors
from ..layers.head import Head
from ..layers.listener import EncoderListener
from ..pretraining.settings import settings_from
from ..tokenization.alignment import token_starts
from .batching import TOKENS_A_GROUP, annotate_in_groups
from .rtd_pretraining import RTDPretraining, RTDPretrainingSettings, count_pieces
from .rtd_scorer import Scores, detection_scores, gold_labels

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-electra.RTD.v1"

[model.encoder]
@architectures = "spacy-electra.Encoder.v1"
source = "en_tiny"
window = 128
stride = 96
max_tokens = 8192
precision = "auto"

[pretraining]
generator = null
generator_fraction = 0.25
mask_share = 0.15
mask_replaced = 0.85
rtd_weight = 50.0
weak = "frequency"
strong = "generator"
start = 0.0
end = 0.5
rise_steps = 1000
temperature = 1.0
seed = 0

[scorer]
@scorers = "spacy-electra.RTDScorer.v1"
"""
DEFAULTS = Config().from_str(DEFAULT_CONFIG)
OBJECTIVES = ("pretrain", "supervised")
# Examples on which the frequencies of pieces are counted.
EXAMPLES_TO_COUNT = 2_000


@Language.factory(
    "electra_rtd",
    assigns=["token._.rtd_score", "token._.is_replaced", "doc.spans"],
    default_config={
        "model": DEFAULTS["model"],
        "threshold": 0.5,
        "spans_key": "rtd",
        "label": "REPLACED",
        "score_attribute": "rtd_score",
        "flag_attribute": "is_replaced",
        "objective": "pretrain",
        "positive_weight": 1.0,
        "pretraining": DEFAULTS["pretraining"],
        "scorer": DEFAULTS["scorer"],
    },
    default_score_weights={
        "rtd_auc": 1.0,
        "rtd_p": 0.0,
        "rtd_r": 0.0,
        "rtd_f": 0.0,
        "rtd_f05": 0.0,
        "rtd_base_rate": None,
        "rtd_mlm_loss": None,
        "rtd_mlm_accuracy": None,
    },
)
def make_electra_rtd(
    nlp: Language,
    name: str,
    model: Head,
    threshold: float,
    spans_key: str,
    label: str,
    score_attribute: str,
    flag_attribute: str,
    objective: str,
    positive_weight: float,
    pretraining: dict[str, Any],
    scorer: Callable[..., Scores] | None,
) -> ElectraRTD:
    """Create the component; arguments as in ``ElectraRTD``."""
    return ElectraRTD(
        nlp.vocab,
        model,
        name,
        threshold=threshold,
        spans_key=spans_key,
        label=label,
        score_attribute=score_attribute,
        flag_attribute=flag_attribute,
        objective=objective,
        positive_weight=positive_weight,
        pretraining=pretraining,
        scorer=scorer,
    )


class ElectraRTD(TrainablePipe):
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
        spans_key: Where the marked words go in ``doc.spans``; where gold labels are
            found in training.
        label: Label of those spans.
        score_attribute: Name of the extension attribute for the probability.
        flag_attribute: Name of the extension attribute for the mark.
        objective: What training does: "pretrain" learns from raw text, with a
            generator that replaces words; "supervised" learns from gold spans.
        positive_weight: With "supervised", weight of a marked token beside another.
        pretraining: With "pretrain", the fields of ``RTDPretrainingSettings``.
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
        spans_key: str = "rtd",
        label: str = "REPLACED",
        score_attribute: str = "rtd_score",
        flag_attribute: str = "is_replaced",
        objective: str = "pretrain",
        positive_weight: float = 1.0,
        pretraining: dict[str, Any] | None = None,
        scorer: Callable[..., Scores] | None = None,
    ) -> None:
        if objective not in OBJECTIVES:
            choices = ", ".join(OBJECTIVES)
            raise ValueError(
                Errors.SE002(name="objective", value=objective, choices=choices)
            )
        if not 0.0 <= threshold <= 1.0:
            requirement = "a probability, 0 to 1"
            raise ValueError(
                Errors.SE003(name="threshold", requirement=requirement, value=threshold)
            )
        if positive_weight <= 0:
            requirement = "a positive float"
            raise ValueError(
                Errors.SE003(
                    name="positive_weight",
                    requirement=requirement,
                    value=positive_weight,
                )
            )
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self.cfg: dict[str, Any] = {
            "threshold": threshold,
            "spans_key": spans_key,
            "label": label,
            "score_attribute": score_attribute,
            "flag_attribute": flag_attribute,
            "objective": objective,
            "positive_weight": positive_weight,
        }
        self.pretraining_settings = settings_from(
            RTDPretrainingSettings, "pretraining", pretraining or {}
        )
        self._pretraining: RTDPretraining | None = None
        # A string of its own, so that nlp.memory_zone() does not free it.
        vocab.strings.add(label)
        vocab.strings.add(spans_key)
        self._register_attributes()

    def _register_attributes(self) -> None:
        for attribute in (self.cfg["score_attribute"], self.cfg["flag_attribute"]):
            if not Token.has_extension(attribute):
                Token.set_extension(attribute, default=None)

    @property
    def threshold(self) -> float:
        """Probability from which a word is marked; may be changed at any time."""
        return float(self.cfg["threshold"])

    @threshold.setter
    def threshold(self, value: float) -> None:
        self.cfg["threshold"] = value

    @property
    def labels(self) -> tuple[str]:
        """The label of the spans."""
        return (self.cfg["label"],)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
    ) -> None:
        """Read the weights from the encoder's source, and look at the data.

        Args:
            get_examples: Gives examples; with the objective "supervised", some of them
                have the gold spans.
            nlp: Not used.

        Raises:
            ValueError: If the objective is "supervised" and no example has spans.
        """
        validate_get_examples(get_examples, "ElectraRTD.initialize")
        self.model.initialize()
        self._pretraining = None
        examples = list(islice(get_examples(), EXAMPLES_TO_COUNT))
        if self.cfg["objective"] == "supervised":
            self._check_gold(examples)
        elif not self._is_listening:
            self._count([example.predicted for example in examples])

    @property
    def _is_listening(self) -> bool:
        return isinstance(self.model.encoder, EncoderListener)

    def _check_gold(self, examples: Sequence[Example]) -> None:
        key = self.cfg["spans_key"]
        if not any(key in example.reference.spans for example in examples):
            found = {name for example in examples for name in example.reference.spans}
            raise ValueError(
                Errors.SE350(key=key, found=", ".join(sorted(found)) or "none")
            )

    def _count(self, docs: Sequence[Doc]) -> NDArray[np.int64]:
        tokenizer = self.model.encoder.load().tokenizer
        assert tokenizer is not None
        counts = count_pieces([doc.text for doc in docs], tokenizer)
        self.model.attrs["piece_counts"] = counts
        return counts

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Mark the words of a stream of Docs.

        Args:
            stream: Any number of Docs.
            batch_size: Docs to take from it at a time.
        """
        return annotate_in_groups(self, stream, batch_size, TOKENS_A_GROUP)

    def predict(self, docs: Iterable[Doc]) -> list[NDArray[np.float64]]:
        """The probability of each token of each Doc, without setting it."""
        return [sigmoid(logits) for logits in self.model.predict(list(docs))]

    def set_annotations(
        self, docs: Iterable[Doc], scores: Iterable[NDArray[np.float64]]
    ) -> None:
        """Set what ``predict`` found."""
        for doc, probabilities in zip(docs, scores, strict=True):
            marked = probabilities >= self.threshold
            self._set_attributes(doc, probabilities, marked)
            label = self.cfg["label"]
            places = np.flatnonzero(marked)
            key = self.cfg["spans_key"]
            doc.spans[key] = SpanGroup(
                doc,
                name=key,
                spans=[Span(doc, i, i + 1, label=label) for i in places.tolist()],
                attrs={"scores": probabilities[places].astype(np.float32)},
            )

    def _set_attributes(
        self,
        doc: Doc,
        probabilities: NDArray[np.float64],
        marked: NDArray[np.bool_],
    ) -> None:
        # What `token._.name = value` does, without an Underscore object for each.
        starts = token_starts(doc).tolist()
        for attribute, values in (
            (self.cfg["score_attribute"], probabilities.tolist()),
            (self.cfg["flag_attribute"], marked.tolist()),
        ):
            keys = [("._.", attribute, start, None) for start in starts]
            doc.user_data.update(zip(keys, values, strict=True))  # type: ignore[arg-type]

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch, in the way of the objective.

        Args:
            examples: With "pretrain" only their text is used.
            drop: Not used; dropout is part of the checkpoint's config.
            sgd: Changes the weights at once, where given.
            losses: Gets the loss under the component's name.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "ElectraRTD.update")
        if not any(len(example.predicted) for example in examples):
            return losses
        if self.cfg["objective"] == "pretrain":
            docs = [example.predicted for example in examples]
            losses[self.name] += self._pretraining_on(docs).update(docs)
        else:
            docs = [example.predicted for example in examples]
            scores, backprop = self.model.begin_update(docs)
            loss, gradients = self.get_loss(examples, scores)
            backprop(gradients)
            losses[self.name] += loss
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def get_loss(
        self, examples: Iterable[Example], scores: Sequence[Floats1d]
    ) -> tuple[float, list[Floats1d]]:
        """Weighted binary cross-entropy of gold labels, averaged over tokens.

        Args:
            examples: With gold spans; one without counts as free of replaced words.
            scores: Logits of each Doc's tokens.

        Returns:
            The loss in nats, and its gradient with respect to the logits. A token
            without pieces counts for neither.
        """
        examples = list(examples)
        key = self.cfg["spans_key"]
        gold = [gold_labels(example, key) for example in examples]
        logits = np.concatenate([np.asarray(part, dtype=np.float64) for part in scores])
        labels = np.concatenate(gold)
        judged = np.isfinite(logits)
        weights = np.where(labels, self.cfg["positive_weight"], 1.0) * judged
        total = max(weights.sum(), 1e-9)
        finite = np.where(judged, logits, 0.0)
        # -log sigmoid(z) for a marked token, -log sigmoid(-z) for another.
        losses = np.logaddexp(0.0, np.where(labels, -finite, finite))
        loss = float((weights * losses).sum() / total)
        gradient = weights * (sigmoid(finite) - labels) / total
        ends = np.cumsum([len(part) for part in gold])
        parts = np.split(gradient.astype(np.float32), ends[:-1])
        return loss, cast(list[Floats1d], parts)

    def _pretraining_on(self, docs: Sequence[Doc]) -> RTDPretraining:
        if self._is_listening:
            raise ValueError(Errors.SE352())
        if self._pretraining is None:
            counts = self.model.attrs["piece_counts"]
            if counts is None:
                # A pipeline that goes on training without nlp.initialize().
                counts = self._count(docs)
            self._pretraining = RTDPretraining(
                self.model, self.pretraining_settings, np.asarray(counts)
            )
        return self._pretraining

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Scores:
        """Score against gold spans, or, where there are none, by the objective.

        With the objective "pretrain" and no gold spans, words of the examples' text are
        replaced as in training, always with the same seed, and both networks are
        scored on them.
        """
        examples = list(examples)
        key = self.cfg["spans_key"]
        has_gold = any(key in example.reference.spans for example in examples)
        pretrains = self.cfg["objective"] == "pretrain" and not self._is_listening
        if pretrains and not has_gold:
            docs = [example.predicted for example in examples]
            if not any(len(doc) for doc in docs):
                return {}
            figures = self._pretraining_on(docs).evaluate(docs, self.threshold)
            return {
                **detection_scores(figures.detection["end"]),
                "rtd_mlm_loss": figures.mlm_loss,
                "rtd_mlm_accuracy": figures.mlm_accuracy,
            }
        if self.scorer is None:
            return {}
        return self.scorer(
            examples,
            **{
                **kwargs,
                "spans_key": key,
                "threshold": self.threshold,
                "score_of": self.scores_of,
            },
        )

    def scores_of(self, doc: Doc) -> NDArray[np.float64]:
        """The probabilities that were set on a Doc; 0 where none was."""
        attribute = self.cfg["score_attribute"]
        return np.array([token._.get(attribute) or 0.0 for token in doc])


def sigmoid(logits: NDArray[np.floating] | Floats1d) -> NDArray[np.float64]:
    """Logits as probabilities, without overflow for large ones."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64)))
