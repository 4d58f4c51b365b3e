"""Heads that read a text beside others, as Transformers' classes in a plain loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from heads_loop import BATCH, Features, Loop
from spacy.training import Example
from torch import Tensor

from spacy_electra.pipeline.choices import gold_choice, set_choice, texts_of_choices
from spacy_electra.pipeline.questions import (
    gold_answers,
    questions_of,
    set_predictions,
)

# Of these best beginnings and ends, every pair may be the answer.
BEST_ENDS = 20
LONGEST_ANSWER = 30


class AnswerLoop(Loop):
    """Beginnings and ends of answers, in overlapping windows of their contexts."""

    name = "ElectraForQuestionAnswering"

    def features(self, example: Example) -> list[Features]:
        (question,), doc = questions_of(example.predicted), example.predicted
        found = self.tokenizer(
            question,
            doc.text,
            truncation="only_second",
            max_length=self.window,
            stride=self.overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        (answers,) = gold_answers(example.reference)
        rows = []
        for i in range(len(found["input_ids"])):
            row = {name: values[i] for name, values in found.items()}
            context = [place == 1 for place in found.sequence_ids(i)]
            row["context"] = np.array(context)
            first, last = self.target(row, answers)
            row["start_positions"], row["end_positions"] = first, last
            rows.append(row)
        return rows

    def target(self, row: Features, answers: Any) -> tuple[int, int]:
        """First and last piece of the answer; [CLS] where it is not all there."""
        places = np.flatnonzero(row["context"])
        offsets = np.array(row["offset_mapping"])[places]
        if not answers:
            return 0, 0
        start, end, _ = answers[0]
        if start < offsets[0, 0] or end > offsets[-1, 1]:
            return 0, 0
        first = int(np.searchsorted(offsets[:, 1], start, side="right"))
        last = int(np.searchsorted(offsets[:, 0], end, side="left")) - 1
        return int(places[first]), int(places[max(first, last)])

    def annotate(self, examples: Sequence[Example]) -> None:
        groups = [self.features(example) for example in examples]
        rows = [row for group in groups for row in group]
        logits: list[tuple[Any, Any]] = []
        for output in self.outputs(rows):
            starts, ends = output.start_logits.numpy(), output.end_logits.numpy()
            logits += zip(starts, ends, strict=True)
        found = iter(zip(rows, logits, strict=True))
        for example, group in zip(examples, groups, strict=True):
            own = [next(found) for _ in group]
            null = min(float(starts[0] + ends[0]) for _, (starts, ends) in own)
            best = max(best_answer(row, *scores) for row, scores in own)
            answer = (best[1], best[2], 1.0)
            is_none = self.gives_none and null > best[0]
            chosen = [] if is_none else [answer]
            set_predictions(example.predicted, [chosen], [[answer]], [null - best[0]])

    gives_none = False


class AnswerOrNoneLoop(AnswerLoop):
    """As that, where a question may have no answer."""

    gives_none = True


def best_answer(row: Features, starts: Any, ends: Any) -> tuple[float, int, int]:
    """Logit and characters of the best answer of a window."""
    places = np.flatnonzero(row["context"])
    offsets = row["offset_mapping"]
    found = [(-np.inf, 0, 1)]
    for first in places[starts[places].argsort()[-BEST_ENDS:]]:
        for last in places[ends[places].argsort()[-BEST_ENDS:]]:
            if first <= last < first + LONGEST_ANSWER:
                logit = float(starts[first] + ends[last])
                found.append((logit, offsets[first][0], offsets[last][1]))
    return max(found)


class ChoiceLoop(Loop):
    """Which of some texts goes with a story."""

    name = "ElectraForMultipleChoice"

    def features(self, example: Example) -> list[Features]:
        texts = texts_of_choices(example.predicted)
        found = self.tokenizer(
            [example.predicted.text] * len(texts),
            texts,
            truncation="only_first",
            max_length=self.window,
        )
        rows = [
            {name: values[i] for name, values in found.items()}
            for i in range(len(texts))
        ]
        rows[0]["choice"] = gold_choice(example.reference)
        return rows

    def scores(self, batch: Sequence[Features], choices: int) -> Tensor:
        inputs = self.padded(batch)
        shaped = {
            name: part.view(-1, choices, part.shape[-1])
            for name, part in inputs.items()
        }
        return self.model(**shaped).logits

    def loss(self, batch: Sequence[Features]) -> Tensor:
        gold = torch.tensor([row["choice"] for row in batch if "choice" in row])
        return F.cross_entropy(self.scores(batch, len(batch) // len(gold)), gold)

    @torch.no_grad()
    def annotate(self, examples: Sequence[Example]) -> None:
        self.model.eval()
        for start in range(0, len(examples), BATCH // 4):
            part = examples[start : start + BATCH // 4]
            groups = [self.features(example) for example in part]
            rows = [row for group in groups for row in group]
            logits = self.scores(rows, len(groups[0]))
            for example, own in zip(part, logits.softmax(-1).tolist(), strict=True):
                set_choice(example.predicted, own.index(max(own)), own)
