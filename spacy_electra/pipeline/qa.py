"""`electra_qa`: answers questions about a text with parts of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from ..errors import Errors
from ..layers.head_model import Head
from ..layers.types import TextPair
from ..layers.units import PlaceOutputs
from ..source import DEFAULT_SOURCE
from .answers import answer_loss, find_answers
from .attributes import same_inputs
from .pair_component import PairComponent
from .places import joined
from .questions import (
    answer_at,
    gold_answers,
    has_gold_answers,
    questions_of,
    register_questions,
    set_predictions,
)
from .scorers.qa import NAMES, Scores

# Questions need room beside them, so the windows are longer than an encoder's by
# default; more positions not every bundled checkpoint has.
DEFAULT_MODEL = {
    "@architectures": "spacy-electra.QuestionAnswering.v1",
    "encoder": {
        "@architectures": "spacy-electra.Encoder.v1",
        "source": DEFAULT_SOURCE,
        "window": 256,
        "stride": 192,
    },
}


@Language.factory(
    "electra_qa",
    requires=["doc._.questions"],
    assigns=["doc._.answers", "doc._.answer_candidates", "doc._.no_answer_scores"],
    default_config={
        "model": DEFAULT_MODEL,
        "max_answer_length": 30,
        "n_best": 5,
        "no_answer_threshold": 0.0,
        "scorer": {"@scorers": "spacy-electra.QAScorer.v1"},
    },
    default_score_weights={**dict.fromkeys(NAMES), "qa_em": 0.0, "qa_f1": 1.0},
)
def make_electra_qa(
    nlp: Language,
    name: str,
    model: Head,
    max_answer_length: int,
    n_best: int,
    no_answer_threshold: float | None,
    scorer: Callable[..., Scores] | None,
) -> ElectraQA:
    """Create the component; arguments as in ``ElectraQA``."""
    component = ElectraQA(
        nlp.vocab,
        model,
        name,
        max_answer_length=max_answer_length,
        n_best=n_best,
        no_answer_threshold=no_answer_threshold,
        scorer=scorer,
    )
    return joined(nlp, component)


class ElectraQA(PairComponent):
    """Extractive question answering as a pipeline component.

    Set ``doc._.questions`` on Docs before they reach it (``nlp.pipe`` takes Docs from
    ``nlp.make_doc``). It sets, each with one entry per question, empty where there are
    no questions:

    - ``doc._.answers``: the best answer, or None where there is none.
    - ``doc._.answer_candidates``: the best few answers, best first, of which no two
      have the same tokens, whether the first is given as the answer or not.
    - ``doc._.no_answer_scores``: by how much the logits of "there is no answer" exceed
      those of the best answer; infinity where the text has no piece.

    An answer is a Span with a ``score``, its probability. It covers every token that it
    touches; ``exact_text`` has the characters that were found, which the scorer
    compares.

    A text longer than a window is read in several, each with the whole question. The
    logits of a piece come from the window that gives it most context; an answer may
    begin in one window and end in the next.

    Args:
        vocab: The pipeline's.
        model: From pairs of a Doc and a question to two logits per place, as
            ``spacy-electra.QuestionAnswering.v1`` makes it.
        name: Of the component.
        max_answer_length: Most pieces of an answer.
        n_best: Most candidates of a question.
        no_answer_threshold: There is no answer where the no-answer score exceeds this
            (SQuAD's null_score_diff_threshold); None for an answer in any case, if
            the text has a piece. It may be changed at any time.
        scorer: Scores answers against gold ones.

    Raises:
        ValueError: If a value can't be; the message names it.
    """

    inputs = ("questions",)
    gold = "answers"

    def __init__(
        self,
        vocab: Vocab,
        model: Head,
        name: str = "electra_qa",
        *,
        max_answer_length: int = 30,
        n_best: int = 5,
        no_answer_threshold: float | None = 0.0,
        scorer: Callable[..., Scores] | None = None,
    ) -> None:
        counts = {"max_answer_length": max_answer_length, "n_best": n_best}
        for key, value in counts.items():
            if value < 1:
                requirement = "a positive int"
                raise ValueError(
                    Errors.SE003(name=key, requirement=requirement, value=value)
                )
        super().__init__(vocab, model, name, scorer=scorer, **counts)
        self.no_answer_threshold = no_answer_threshold
        register_questions()

    @property
    def no_answer_threshold(self) -> float | None:
        """The no-answer score above which there is no answer."""
        threshold: float | None = self.cfg["no_answer_threshold"]
        return threshold

    @no_answer_threshold.setter
    def no_answer_threshold(self, value: float | None) -> None:
        self.cfg["no_answer_threshold"] = value

    def pairs_of(self, doc: Doc) -> list[TextPair]:
        """The Doc with each of its questions before it."""
        return [TextPair(doc, before=question) for question in questions_of(doc)]

    def set_annotations(
        self, docs: Iterable[Doc], scores: Iterable[Sequence[PlaceOutputs]]
    ) -> None:
        """Set what ``predict`` found."""
        for doc, outputs in zip(docs, scores, strict=True):
            answers, candidates, no_answer = [], [], []
            for places in outputs:
                found, margin = self._find(doc, places)
                answers.append([] if self._has_no_answer(margin) else found[:1])
                candidates.append(found)
                no_answer.append(margin)
            set_predictions(doc, answers, candidates, no_answer)

    def _find(self, doc: Doc, places: PlaceOutputs) -> tuple[list[Any], float]:
        def tokens(start: int, end: int) -> tuple[int, int]:
            answer = answer_at(doc, start, end)
            return answer.start, answer.end

        longest, count = self.cfg["max_answer_length"], self.cfg["n_best"]
        return find_answers(places, longest, count, tokens)

    def _has_no_answer(self, margin: float) -> bool:
        threshold = self.no_answer_threshold
        return threshold is not None and margin > threshold

    def get_loss(
        self, examples: Iterable[Example], scores: Sequence[PlaceOutputs]
    ) -> tuple[float, list[Any]]:
        """Mean cross-entropy of beginnings and ends; see ``answer_loss``.

        Args:
            examples: With the same questions on both Docs; those of a reference
                without gold answers count for nothing.
            scores: What the model gave for each question of each example.
        """
        gold: list[Any] = []
        for example in examples:
            same_inputs(example, self.inputs)
            if has_gold_answers(example.reference):
                gold += gold_answers(example.reference)
            else:
                gold += [None] * len(questions_of(example.reference))
        return answer_loss(scores, gold)
