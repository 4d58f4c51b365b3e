"""A fine-tuning step beside a plain loop over Transformers and spacy-transformers.

    python benchmarks/finetune_speed.py ../shared/data

All learn to tag UD English EWT from the same random weights, with dropout, and see the
same batches, one after the other in each round:

- the plain loop pads each batch to its longest text, computes under autocast in bf16
  (and, in a row of its own, in fp32), clips the norm of all gradients and steps with
  torch's AdamW; it is given texts that are tokenized already;
- spacy-transformers is a `transformer` with a tagger behind it, updated with Thinc's
  Adam as in `spacy train`; it knows no bf16 on a CPU;
- `electra` is the same pipeline with our component, in fp32 and bf16.

Texts of about one length share a batch of about 1,000 words, which is what a loop that
pads is best at. First steps, in which a process grows to the memory that it needs, do
not count. Speed is the median of all others, and that of all of them together: a single
text of many pieces makes a whole batch of the loop long. The loss is the mean
cross-entropy of the tags of held-out texts after all steps, in nats.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
import torch.nn.functional as F
import transformers
from encoder_speed import CLOCKS, SHAPES, STRIDED, THEIRS, checkpoint
from machine import in_turn, machine, write_result
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.batchers import minibatch_by_padded_size
from spacy.training.converters import conllu_to_docs
from spacy.vocab import Vocab
from thinc.api import Adam, fix_random_seed

from spacy_electra.models.precision import autocast
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer

RATE = 2e-4
IGNORED = -100
# Words of a batch, padding counted, and texts that are sorted by length together.
WORDS, POOL = 1000, 1000
HELD_OUT = 64
# Most words of a text, 0 for one that is a sentence.
LONGEST = {"sentences": 0, "documents": 200}
Texts = Sequence[Doc]


class PlainLoop:
    """Transformers' class for token classification, trained as is common."""

    def __init__(self, source: str, labels: Sequence[str], precision: str) -> None:
        fix_random_seed(0)
        self.tokenizer = transformers.ElectraTokenizerFast.from_pretrained(source)
        self.model = transformers.ElectraForTokenClassification.from_pretrained(
            source, num_labels=len(labels)
        )
        self.numbers = {label: number for number, label in enumerate(labels)}
        self.precision = precision
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=RATE, weight_decay=0.01
        )

    def prepare(self, texts: Texts) -> list[dict[str, Any]]:
        """Ids and labels of each; the first piece of a word has its label."""
        rows = []
        for doc in texts:
            words = [token.text for token in doc]
            row = self.tokenizer(words, is_split_into_words=True, truncation=True)
            labels, before = [], None
            for word in row.word_ids():
                begins = word is not None and word != before
                labels.append(self.numbers[doc[word].tag_] if begins else IGNORED)
                before = word
            rows.append({**row, "labels": labels})
        return rows

    def padded(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """All of them, padded to the longest."""
        inputs = [{k: v for k, v in row.items() if k != "labels"} for row in rows]
        batch = dict(self.tokenizer.pad(inputs, return_tensors="pt"))
        length = batch["input_ids"].shape[1]
        labels = [
            row["labels"] + [IGNORED] * (length - len(row["labels"])) for row in rows
        ]
        return {**batch, "labels": torch.tensor(labels)}

    def step(self, rows: list[dict[str, Any]]) -> None:
        """One update."""
        self.model.train()
        self.optimizer.zero_grad()
        with autocast(torch.device("cpu"), self.precision):
            loss = self.model(**self.padded(rows)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    @torch.no_grad()
    def loss(self, texts: Texts) -> float:
        """Mean cross-entropy of the tags, nats."""
        self.model.eval()
        return float(self.model(**self.padded(self.prepare(texts))).loss)


class Pipeline:
    """A pipeline of a component that serves listeners, and a tagger."""

    def __init__(self, nlp: Language, texts: Texts) -> None:
        fix_random_seed(0)
        self.nlp = nlp
        listener = {
            "@architectures": "spacy-transformers.TransformerListener.v1",
            "pooling": {"@layers": "reduce_mean.v1"},
        }
        model = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}
        nlp.add_pipe("tagger", config={"model": model})
        nlp.initialize(lambda: self.prepare(texts))
        self.optimizer = Adam(
            RATE, L2=0.01, L2_is_weight_decay=True, grad_clip=1.0, use_averages=False
        )

    def prepare(self, texts: Texts) -> list[Example]:
        """As they come from a corpus."""
        vocab = self.nlp.vocab
        return [
            Example(Doc(vocab, words=[token.text for token in doc]), _moved(doc, vocab))
            for doc in texts
        ]

    def step(self, examples: list[Example]) -> None:
        """One update, as `spacy train` makes it.

        With an optimizer `nlp.update` would let each component finish its update
        before the next one begins, which is late by one for a `transformer`.
        """
        self.nlp.update(examples, sgd=False)
        for _, component in self.nlp.pipeline:
            component.finish_update(self.optimizer)

    def loss(self, texts: Texts) -> float:
        """Mean cross-entropy of the tags, nats."""
        tagger: Any = self.nlp.get_pipe("tagger")
        with self.nlp.select_pipes(disable="tagger"):
            docs = list(self.nlp.pipe(e.predicted for e in self.prepare(texts)))
        scores = np.concatenate(tagger.model.predict(docs))
        gold = [tagger.labels.index(token.tag_) for doc in texts for token in doc]
        return float(F.cross_entropy(torch.from_numpy(scores), torch.tensor(gold)))


def _moved(doc: Doc, vocab: Vocab) -> Doc:
    """A copy of a Doc with another vocabulary."""
    return Doc(vocab, words=[t.text for t in doc], tags=[t.tag_ for t in doc])


def spacy_transformers(source: str) -> Language:
    """A `transformer` in the windows that its documentation has."""
    nlp = spacy.blank("en")
    model = {"@architectures": THEIRS, "name": source, "get_spans": STRIDED}
    nlp.add_pipe("transformer", config={"model": model})
    return nlp


def electra(source: str, precision: str) -> Language:
    """An `electra` that sees texts whole, as the loop does."""
    nlp = spacy.blank("en")
    settings = {"name": source, "precision": precision, "window": 512, "stride": 384}
    nlp.add_pipe("electra", config={"model": settings})
    return nlp


def sides(source: str, texts: Texts) -> dict[str, Callable[[], Any]]:
    """What is compared, by name."""
    labels = sorted({token.tag_ for doc in texts for token in doc})
    return {
        "Transformers, fp32": lambda: PlainLoop(source, labels, "fp32"),
        "Transformers, bf16": lambda: PlainLoop(source, labels, "bf16"),
        "spacy-transformers": lambda: Pipeline(spacy_transformers(source), texts),
        "electra, fp32": lambda: Pipeline(electra(source, "fp32"), texts),
        "electra, bf16": lambda: Pipeline(electra(source, "bf16"), texts),
    }


def read(file: Path, longest: int) -> list[Doc]:
    """Sentences of a treebank, joined to documents of at most so many words."""
    parts = conllu_to_docs(file.read_text(encoding="utf8"), n_sents=10, no_print=True)
    vocab = Vocab()
    docs = []
    for doc in DocBin(docs=parts).get_docs(vocab):
        sentences = [doc] if longest else doc.sents
        for part in sentences:
            words = [(token.text, token.pos_) for token in part][: longest or None]
            texts, tags = zip(*words, strict=True)
            docs.append(Doc(vocab, words=list(texts), tags=list(tags)))
    return docs


def batches(texts: Texts, words: int) -> list[list[Doc]]:
    """Batches of texts of about one length, of so many words with their padding."""
    shuffled = list(texts)
    random.Random(0).shuffle(shuffled)
    found = list(minibatch_by_padded_size(shuffled, words, buffer=POOL))
    random.Random(1).shuffle(found)
    return found


def measure(
    source: str, texts: Texts, held_out: Texts, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """A row a side."""
    chosen = {
        name: make()
        for name, make in sides(source, texts).items()
        if not arguments.only or name in arguments.only
    }
    warmup, steps = arguments.warmup, arguments.steps
    drawn = batches(texts, WORDS)[: warmup + steps]
    ready = {name: [s.prepare(b) for b in drawn] for name, s in chosen.items()}
    runs = {
        name: (lambda side=side, left=iter(ready[name]): side.step(next(left)))
        for name, side in chosen.items()
    }
    seconds = in_turn(runs, len(drawn) - warmup, CLOCKS[arguments.clock], warmup=warmup)
    words = [sum(len(doc) for doc in batch) for batch in drawn[warmup:]]
    speed = {
        name: statistics.median(n / t for n, t in zip(words, times, strict=True))
        for name, times in seconds.items()
    }
    together = {name: sum(words) / sum(times) for name, times in seconds.items()}
    return [
        {
            "side": name,
            "words_per_second": speed[name],
            "words_per_second_together": together[name],
            "loss": side.loss(held_out),
            **times_of(name, speed, ""),
            **times_of(name, together, ", together"),
        }
        for name, side in chosen.items()
    ]


def times_of(name: str, speed: dict[str, float], suffix: str) -> dict[str, float]:
    """How many times as fast as the others a side is."""
    return {
        f"times {other}{suffix}": speed[name] / speed[other]
        for other in ("Transformers, bf16", "spacy-transformers")
        if other in speed
    }


def parser_of(description: str | None, threads: int) -> argparse.ArgumentParser:
    """The arguments of what measures fine-tuning steps."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--parts", nargs="+", default=list(LONGEST))
    return parser


def parts_of(arguments: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Each part to measure, the checkpoint, and the words of its longest text."""
    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
    with tempfile.TemporaryDirectory() as made:
        source = checkpoint(arguments.shape, tokenizer, Path(made))
        for part in LONGEST:
            if part in arguments.parts:
                yield part, source, LONGEST[part]


def main() -> None:
    """Measure, print and write."""
    parser = parser_of(__doc__, threads=2)
    parser.add_argument("--warmup", type=int, default=8, help="steps before those")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--only", nargs="+", help="names of the rows to measure")
    arguments = parser.parse_args()
    folder = arguments.data / "ud_english_ewt"
    figures: dict[str, Any] = {}
    for part, source, longest in parts_of(arguments):
        texts = read(folder / "en_ewt-ud-train.conllu", longest)
        held_out = read(folder / "en_ewt-ud-dev.conllu", longest)[:HELD_OUT]
        rows = measure(source, texts, held_out, arguments)
        figures[part] = rows
        print(f"\n{part}, {arguments.threads} threads")
        for row in rows:
            ratios = [f"{v:5.2f} {k}" for k, v in row.items() if k.startswith("times")]
            print(
                f"{row['side']:22}{row['words_per_second']:8,.0f} words/s, "
                f"{row['words_per_second_together']:,.0f} together  "
                f"loss {row['loss']:.3f}  {'  '.join(ratios)}"
            )
    print(machine())
    write_result(f"finetune_speed_{arguments.threads}", figures)


if __name__ == "__main__":
    main()
