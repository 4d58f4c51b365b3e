"""The tasks that heads are measured on, and how large a run of each is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import heads_data as data
import numpy as np
from heads_loop import DetectionLoop, Loop, SequenceLoop, TokenLoop
from heads_loop_language import CausalLoop, MaskedLoop
from heads_loop_pairs import (
    LONGEST_ANSWER,
    AnswerLoop,
    AnswerOrNoneLoop,
    ChoiceLoop,
)
from spacy.training import Example

from spacy_electra.metrics import area_under_curve, detection, f_score

Scores = Mapping[str, Any]
MINILM = "MiniLM"


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Args:
        steps: Updates.
        test: Most examples to evaluate on.
        seeds: Most runs, each with a new head and another order of batches.
        learn_rate: The highest, after the warm-up.
    """

    steps: int
    test: int
    seeds: int = 3
    learn_rate: float = 5e-4


def learned(steps: int, test: int) -> Size:
    """A run in which a head learns its task."""
    return Size(steps, test, learn_rate=2e-4)


def scored_by_component(component: Any, examples: Sequence[Example]) -> Scores:
    """What the component's own scorer says of annotated examples."""
    scores: Scores = component.score(examples)
    return scores


@dataclass(frozen=True)
class Task:
    """A head on a data set.

    Args:
        loop: The head as Transformers' class; it knows the name of the class.
        factory: Of the component with the same head.
        read: Gives the examples of a split.
        metrics: Which scores to keep.
        batch: Examples per update.
        window: Longest sequence, in pieces, where the checkpoint has as many positions.
        small: Sizes of a run of the small budget, from en_tiny and from MiniLM.
        full: Size of a run of the full budget.
        settings: Of the component, where they are not the default.
        problem: ``problem_type`` of a checkpoint for whole texts.
        labels: Whether labels are those of texts or of tokens; None for none.
        score: Scores of annotated examples.
        is_language_model: Whether it starts from the generator beside a checkpoint;
            then its only score is a perplexity.
        same_loss: Whether both sides compute the same loss of a batch.
    """

    loop: type[Loop]
    factory: str
    read: data.Reader
    metrics: tuple[str, ...]
    batch: int
    window: int
    small: tuple[Size, Size]
    full: Size
    settings: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    labels: str | None = None
    score: Callable[[Any, Sequence[Example]], Scores] = scored_by_component
    is_language_model: bool = False
    same_loss: bool = True

    def size(self, budget: str, weights: str) -> Size:
        """How large a run from some weights is."""
        return self.full if budget == "full" else self.small[weights == MINILM]

    @property
    def stride(self) -> int:
        """Pieces from the start of one window to that of the next."""
        return self.window * 3 // 4


def score_detection(component: Any, examples: Sequence[Example]) -> Scores:
    """F0.5 and AUC of tokens that are wrong."""
    pairs = [
        (given, gold)
        for each in examples
        for given, gold in zip(each.predicted, each.reference, strict=True)
    ]
    found = [
        (given._.electra_label == data.WRONG, given._.electra_score)
        for given, _ in pairs
    ]
    probabilities = np.array([p if wrong else 1 - p for wrong, p in found])
    gold = np.array([token._.get(data.LABEL) == data.WRONG for _, token in pairs])
    figures = detection(probabilities, gold, 0.5)
    return {
        "f05": f_score(figures.precision, figures.recall, 0.5),
        "auc": area_under_curve(probabilities, gold),
    }


def pseudo_perplexity(component: Any, examples: Sequence[Example]) -> Scores:
    """Over all pieces, each hidden while the others are seen."""
    docs = [example.predicted for example in examples]
    found = np.concatenate(component.piece_log_likelihoods(docs))
    return {"pseudo_perplexity": np.exp(-np.nanmean(found))}


ANSWERS = {"max_answer_length": LONGEST_ANSWER}
TASKS = {
    "sick_entailment": Task(
        SequenceLoop,
        "electra_textcat",
        data.sick_entailment,
        ("cats_micro_f", "cats_macro_f"),
        batch=16,
        window=128,
        small=(Size(60, 300), Size(15, 100, 1)),
        full=learned(150, 1000),
        problem="single_label_classification",
        labels="texts",
    ),
    "sick_relatedness": Task(
        SequenceLoop,
        "electra_textcat",
        data.sick_relatedness,
        ("cats_pearson", "cats_spearman"),
        batch=16,
        window=128,
        small=(Size(60, 300), Size(15, 100, 1)),
        full=learned(150, 1000),
        problem="regression",
        labels="texts",
    ),
    "cooking": Task(
        SequenceLoop,
        "electra_textcat",
        data.cooking,
        ("cats_macro_auc", "cats_micro_f"),
        batch=8,
        window=256,
        small=(Size(20, 80), Size(5, 20, 1)),
        full=learned(100, 200),
        problem="multi_label_classification",
        labels="texts",
    ),
    "wnut17": Task(
        TokenLoop,
        "electra_token_classifier",
        data.wnut17,
        ("ents_f",),
        batch=16,
        window=128,
        small=(Size(60, 250), Size(15, 80, 1)),
        full=learned(150, 500),
        labels="tokens",
    ),
    "realec": Task(
        TokenLoop,
        "electra_token_classifier",
        data.realec,
        ("f05", "auc"),
        batch=16,
        window=128,
        small=(Size(60, 250), Size(15, 80, 1)),
        full=learned(150, 400),
        settings={"annotates": "tokens"},
        labels="tokens",
        score=score_detection,
    ),
    "realec_spans": Task(
        DetectionLoop,
        "electra_rtd",
        data.realec_spans,
        ("rtd_f05", "rtd_auc"),
        batch=16,
        window=128,
        small=(Size(60, 250), Size(15, 80, 1)),
        full=learned(150, 400),
        settings={"objective": "supervised"},
        same_loss=False,
    ),
    "squad1": Task(
        AnswerLoop,
        "electra_qa",
        data.squad1,
        ("qa_em", "qa_f1"),
        batch=6,
        window=256,
        small=(Size(20, 60), Size(6, 20, 1)),
        full=learned(200, 100),
        settings={**ANSWERS, "no_answer_threshold": None},
        same_loss=False,
    ),
    "squad2": Task(
        AnswerOrNoneLoop,
        "electra_qa",
        data.squad2,
        ("qa_em", "qa_f1", "qa_no_answer_acc"),
        batch=6,
        window=256,
        small=(Size(20, 60), Size(6, 20, 1)),
        full=learned(200, 100),
        settings=ANSWERS,
        same_loss=False,
    ),
    "mctest": Task(
        ChoiceLoop,
        "electra_multiple_choice",
        data.mctest,
        ("choice_acc",),
        batch=2,
        window=256,
        small=(Size(12, 30), Size(3, 10, 1)),
        full=learned(60, 60),
    ),
    "ewt_masked": Task(
        MaskedLoop,
        "electra_mlm",
        data.ewt,
        ("pseudo_perplexity",),
        batch=8,
        window=128,
        small=(Size(40, 20), Size(5, 6, 1)),
        full=learned(60, 40),
        score=pseudo_perplexity,
        is_language_model=True,
        same_loss=False,
    ),
    "ewt_causal": Task(
        CausalLoop,
        "electra_causal_lm",
        data.ewt,
        ("causal_lm_perplexity",),
        batch=8,
        window=128,
        small=(Size(40, 150), Size(5, 20, 1)),
        full=learned(60, 200),
        is_language_model=True,
    ),
}
