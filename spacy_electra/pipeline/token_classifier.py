"""`electra_token_classifier`: labels of tokens, as entities, spans or themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.types import Floats2d

from ..errors import Errors, listed
from ..layers.head_model import Head
from .attributes import NO_LABEL, NO_SCORE, register_on_tokens
from .component import HeadComponent, store_spans
from .per_token import store_per_token
from .places import Places, span_group
from .schemes import OUTSIDE, Scheme
from .scorers.token_classifier import Gold, Scores, gold_tags, labels_in
from .training.losses import cross_entropy, over_texts

ANNOTATES = ("ents", "spans", "tokens")


class ElectraTokenClassifier(HeadComponent):
    """Classification of tokens, as a pipeline component.

    Every token gets its likeliest label and that label's probability as attributes.
    Where the labels stand for spans ("B-PER"), the likeliest sequence that their scheme
    allows becomes ``doc.ents`` or a span group; a span's score is the geometric mean of
    the probabilities of its tokens' labels.

    Args:
        vocab: The pipeline's.
        model: From Docs to logits, as ``spacy-electra.TokenClassification.v1`` makes
            it.
        name: Of the component.
        annotates: Where gold labels are found and predicted ones go: "ents" is
            ``doc.ents``, "spans" ``doc.spans[spans_key]``, "tokens" the attribute
            ``label_attribute`` of tokens alone.
        scheme: Labels to make of the types of spans in training data: "BIO", "BILUO",
            "BIOES" or "IO"; a checkpoint with labels of its own brings its own scheme.
        spans_key: Where spans go in ``doc.spans``, with "spans".
        label_attribute: Name of the tokens' extension attribute for the label.
        score_attribute: Name of the one for its probability, and of the spans' for
            their score.
        overwrite: With "ents", whether entities that are there already go; otherwise
            they stay, and those that would overlap them are left out.
        scorer: Scores what is annotated.

    Raises:
        ValueError: If there is no such way of annotating.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Head,
        name: str = "electra_token_classifier",
        *,
        annotates: str = "ents",
        scheme: str = "BIO",
        spans_key: str = "electra",
        label_attribute: str = "electra_label",
        score_attribute: str = "electra_score",
        overwrite: bool = False,
        scorer: Callable[..., Scores] | None = None,
    ) -> None:
        super().__init__(vocab, model, name, scorer=scorer)
        # Losses are computed here, from logits.
        model.attrs["gives_logits"] = True
        if annotates not in ANNOTATES:
            choices = ", ".join(ANNOTATES)
            raise ValueError(
                Errors.SE002(name="annotates", value=annotates, choices=choices)
            )
        Scheme.for_types(scheme, [])
        self.cfg.update(
            annotates=annotates,
            scheme=scheme,
            spans_key=spans_key,
            label_attribute=label_attribute,
            score_attribute=score_attribute,
            overwrite=overwrite,
        )
        places = {
            "ents": "doc.ents",
            "spans": f"doc.spans[{spans_key!r}]",
            "tokens": f"token._.{label_attribute}",
        }
        self.gold_place = places[annotates]
        vocab.strings.add(spans_key)
        register_on_tokens("label_attribute", label_attribute, default=NO_LABEL)
        register_on_tokens("score_attribute", score_attribute, default=NO_SCORE)
        if not Span.has_extension(score_attribute):
            Span.set_extension(score_attribute, default=NO_SCORE)

    @property
    def places(self) -> Places:
        """Its attributes, and its group of spans if it sets one."""
        keys = ("label_attribute", "score_attribute")
        places = {f"token._.{self.cfg[key]}": key for key in keys}
        if self.cfg["annotates"] == "spans":
            places[span_group(self.cfg["spans_key"])] = "spans_key"
        return places

    @property
    def gold(self) -> Gold:
        """Where gold annotation is found."""
        return Gold(
            self.cfg["annotates"],
            self.cfg["spans_key"],
            self.cfg["label_attribute"],
            self.scheme,
        )

    @property
    def scheme(self) -> Scheme | None:
        """The scheme of the labels; None where they stand for no spans."""
        if self.cfg["annotates"] == "tokens":
            return None
        return Scheme.of(self.model.labels)

    def labels_in(self, example: Example) -> Iterable[str]:
        """The labels of an example's gold annotation."""
        gold, name = self.gold, self.cfg["scheme"]
        if gold.scheme is not None and self._named_labels():
            name = gold.scheme.name
        return labels_in(example, gold, name)

    def get_loss(
        self, examples: Iterable[Example], scores: Sequence[Floats2d]
    ) -> tuple[float, list[Floats2d]]:
        """Cross-entropy of the gold labels, averaged over tokens.

        Args:
            examples: With gold annotation; a token whose label nobody knows counts for
                nothing.
            scores: Logits of each Doc's tokens.

        Returns:
            The loss in nats, and its gradient with respect to the logits.

        Raises:
            ValueError: If a gold label is none of the component's.
        """
        numbers: dict[str | None, int] = {None: -1}
        numbers.update(self.model.config.label2id)
        place = self.gold
        tags = [tag for each in examples for tag in gold_tags(each, place)]
        unknown = sorted({tag for tag in tags if tag not in numbers and tag})
        if unknown:
            raise ValueError(
                Errors.SE399(unknown=listed(unknown), known=listed(self.labels))
            )
        gold = np.array([numbers[tag] for tag in tags], dtype=np.int64)
        return over_texts(cross_entropy, scores, gold)

    def set_annotations(self, docs: Iterable[Doc], scores: Iterable[Any]) -> None:
        """Set what ``predict`` found."""
        scheme, labels = self.scheme, np.array(self.labels, dtype=object)
        for doc, logits in zip(docs, scores, strict=True):
            probabilities = self.model.probabilities(logits)
            # A token without pieces tells nothing: it takes what stands around it.
            silent = ~logits.any(axis=1)
            logs = np.log(np.maximum(probabilities, np.finfo("f").tiny))
            if scheme is not None:
                logs[silent] = [0.0 if label == OUTSIDE else -0.1 for label in labels]
                path = scheme.best_path(logs)
            else:
                path = logs.argmax(axis=1)
            chosen = probabilities[np.arange(len(path)), path]
            names = np.where(silent & (scheme is None), "", labels[path])
            of_tokens = {
                self.cfg["label_attribute"]: names,
                self.cfg["score_attribute"]: np.where(silent, 0.0, chosen),
            }
            store_per_token([doc], of_tokens)
            if scheme is not None:
                self._set_spans(doc, scheme.spans_of(path.tolist()), chosen, silent)

    def _set_spans(
        self,
        doc: Doc,
        found: Sequence[tuple[int, int, str]],
        chosen: NDArray[np.floating],
        silent: NDArray[np.bool_],
    ) -> None:
        """Set spans with their scores, without white space at their ends."""
        spans, scores = [], []
        for start, end, label in found:
            inside = np.flatnonzero(~silent[start:end]) + start
            if len(inside):
                spans.append(Span(doc, int(inside[0]), int(inside[-1]) + 1, label))
                scores.append(float(np.exp(np.log(chosen[inside]).mean())))
        for span, score in zip(spans, scores, strict=True):
            span._.set(self.cfg["score_attribute"], score)
        if self.cfg["annotates"] == "spans":
            store_spans(doc, self.cfg["spans_key"], spans, scores)
            return
        kept = [] if self.cfg["overwrite"] else list(doc.ents)
        taken = {i for span in kept for i in range(span.start, span.end)}
        free = [s for s in spans if not taken.intersection(range(s.start, s.end))]
        doc.ents = [*kept, *free]

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Scores:
        """Score what is annotated against the references."""
        if self.scorer is None:
            return {}
        return self.scorer(examples, **{**kwargs, "gold": self.gold})
