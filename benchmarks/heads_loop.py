"""Each head as Transformers' class, trained by a plain loop: padded batches, AdamW.

What such a loop does by habit, it does here: texts are tokenized beforehand by the fast
tokenizer, cut off where a sequence is full (contexts of questions come in overlapping
windows instead), and padded to the longest of a batch. What it finds goes onto Docs, so
that the same scorers judge both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from heads_data import LABEL
from spacy.tokens import Span
from spacy.training import Example
from torch import Tensor

Features = dict[str, Any]
IGNORED = -100
# The tag of a token outside of all spans.
OUTSIDE = "O"
# Sequences of a batch without gradients.
BATCH = 32


class Loop:
    """A head of Transformers with a loop around it; one class a head.

    Args:
        source: Folder of a checkpoint.
        window: Longest sequence, in pieces.
        stride: Pieces from the start of one window of a long context to the next.
    """

    name = ""

    def __init__(self, source: Path, window: int, stride: int) -> None:
        self.tokenizer = transformers.ElectraTokenizerFast.from_pretrained(source)
        kind = getattr(transformers, self.name)
        self.model = kind.from_pretrained(source)
        # By number: the file has them in the order of numbers as strings.
        self.labels = [name for _, name in sorted(self.model.config.id2label.items())]
        self.window = window
        self.overlap = window - stride
        # Weights that are tied are listed once.
        self.weights = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.weights, weight_decay=0.01)

    def step(self, batch: Sequence[Features], rate: float) -> float:
        """One update."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss(batch)
        loss.backward()
        for weight in self.weights:
            # Thinc clips by the matrix.
            if weight.grad is not None:
                torch.nn.utils.clip_grad_norm_(weight, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())

    def loss(self, batch: Sequence[Features]) -> Tensor:
        """The model's own loss."""
        return self.model(**self.padded(batch)).loss

    def padded(self, batch: Sequence[Features]) -> dict[str, Tensor]:
        """Tensors of a batch; padding of lists of labels does not count."""
        names = ("input_ids", "token_type_ids", "attention_mask")
        inputs = [{name: row[name] for name in names} for row in batch]
        tensors = dict(self.tokenizer.pad(inputs, return_tensors="pt"))
        for name in ("labels", "start_positions", "end_positions"):
            if name in batch[0]:
                tensors[name] = self.stacked([row[name] for row in batch])
        return tensors

    def stacked(self, labels: list[Any]) -> Tensor:
        """Labels of a batch as one tensor."""
        if isinstance(labels[0], int):
            return torch.tensor(labels)
        length = max(map(len, labels))
        return torch.tensor([row + [IGNORED] * (length - len(row)) for row in labels])

    @torch.no_grad()
    def outputs(self, rows: Sequence[Features]) -> Iterator[Any]:
        """What the model gives for rows, batch by batch in their order."""
        self.model.eval()
        for start in range(0, len(rows), BATCH):
            yield self.model(**self.padded(rows[start : start + BATCH]))

    def features(self, example: Example) -> list[Features]:
        """The sequences of an example, with labels."""
        raise NotImplementedError

    def annotate(self, examples: Sequence[Example]) -> None:
        """Set on the predicted Docs what the model finds."""
        raise NotImplementedError

    def first_features(self, examples: Iterable[Example]) -> list[Features]:
        return [self.features(example)[0] for example in examples]


class SequenceLoop(Loop):
    """Labels or numbers of texts and pairs."""

    name = "ElectraForSequenceClassification"

    @property
    def problem(self) -> str:
        return str(self.model.config.problem_type)

    def features(self, example: Example) -> list[Features]:
        doc, cats = example.predicted, example.reference.cats
        row = self.tokenizer(
            doc.text, doc._.text_pair, truncation=True, max_length=self.window
        )
        values = [cats[label] for label in self.labels]
        is_single = self.problem.startswith("single")
        row["labels"] = values.index(1.0) if is_single else values
        return [row]

    def stacked(self, labels: list[Any]) -> Tensor:
        return torch.tensor(labels)

    def annotate(self, examples: Sequence[Example]) -> None:
        rows = self.first_features(examples)
        logits = torch.cat([output.logits for output in self.outputs(rows)])
        if self.problem.startswith("single"):
            logits = logits.softmax(-1)
        elif self.problem.startswith("multi"):
            logits = logits.sigmoid()
        for example, values in zip(examples, logits.tolist(), strict=True):
            example.predicted.cats = dict(zip(self.labels, values, strict=True))


class WordsLoop(Loop):
    """What heads for tokens share: the pieces of given words."""

    def row_of(self, example: Example) -> Features:
        """The pieces of a Doc's tokens; "words" are their tokens, None for none."""
        words = [token.text for token in example.predicted]
        row = self.tokenizer(
            words, is_split_into_words=True, truncation=True, max_length=self.window
        )
        return {**row, "words": row.word_ids()}


class DetectionLoop(WordsLoop):
    """Which tokens are wrong: those of which any piece seems so."""

    name = "ElectraForPreTraining"

    def features(self, example: Example) -> list[Features]:
        row = self.row_of(example)
        wrong = {span.start for span in example.reference.spans["rtd"]}
        row["labels"] = [int(word in wrong) for word in row["words"]]
        return [row]

    def annotate(self, examples: Sequence[Example]) -> None:
        rows = self.first_features(examples)
        found = [row for output in self.outputs(rows) for row in output.logits]
        for example, row, logits in zip(examples, rows, found, strict=True):
            values = [0.0] * len(example.predicted)
            for word, value in zip(
                row["words"], logits.sigmoid().tolist(), strict=False
            ):
                if word is not None:
                    values[word] = max(values[word], value)
            for token, value in zip(example.predicted, values, strict=True):
                token._.rtd_score = value


class TokenLoop(WordsLoop):
    """Labels of tokens, at the first piece of each."""

    name = "ElectraForTokenClassification"

    def features(self, example: Example) -> list[Features]:
        row, tags = self.row_of(example), self.tags_of(example)
        places = list(first_pieces(row["words"]))
        row["labels"] = [IGNORED] * len(row["input_ids"])
        for place, word in places:
            row["labels"][place] = self.labels.index(tags[word])
        row["places"] = places
        return [row]

    def tags_of(self, example: Example) -> list[str]:
        if OUTSIDE in self.labels:
            return [
                f"{t.ent_iob_}-{t.ent_type_}" if t.ent_type_ else OUTSIDE
                for t in example.reference
            ]
        return [token._.get(LABEL) for token in example.reference]

    def annotate(self, examples: Sequence[Example]) -> None:
        rows = self.first_features(examples)
        logits = [row for output in self.outputs(rows) for row in output.logits]
        for example, row, scores in zip(examples, rows, logits, strict=True):
            doc = example.predicted
            tags, values = [OUTSIDE] * len(doc), [0.0] * len(doc)
            for place, word in row["places"]:
                best = int(scores[place].argmax())
                tags[word] = self.labels[best]
                values[word] = float(scores[place].softmax(-1)[best])
            if OUTSIDE in self.labels:
                doc.ents = [Span(doc, *span) for span in spans_of(tags)]
            for token, tag, value in zip(doc, tags, values, strict=True):
                token._.set(LABEL, tag)
                token._.electra_score = value


def first_pieces(words: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """The place of the first piece of each word, and the word's number."""
    before = None
    for place, word in enumerate(words):
        if word is not None and word != before:
            yield place, word
        before = word


def spans_of(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Spans of BIO tags; one that goes on with nothing begins a span."""
    spans: list[tuple[int, int, str]] = []
    for i, tag in enumerate(tags):
        letter, _, kind = tag.partition("-")
        if letter == "I" and spans and spans[-1][1:] == (i, kind):
            spans[-1] = (spans[-1][0], i + 1, kind)
        elif kind:
            spans.append((i, i + 1, kind))
    return spans
