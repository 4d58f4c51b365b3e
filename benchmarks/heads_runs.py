"""One run: a head as a component and as Transformers' class, trained in turn."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import heads_data
import spacy
from accuracy import limit_length
from heads_loop import Loop
from heads_tasks import TASKS, Size, Task
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Adam, fix_random_seed

import spacy_electra.models
from spacy_electra.tokenization import ElectraTokenizer

WARMUP = 0.1
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "summary_last_dropout",
)
THEIRS, OURS = "Transformers", "component"
SIDES = (THEIRS, OURS)
Run = dict[str, Any]


class Ours:
    """A head as a component of a pipeline.

    Args:
        task: Says which.
        source: Folder of a checkpoint.
        window: Longest sequence, in pieces.
        vocab: Of a pipeline to share it with.
    """

    def __init__(
        self, task: Task, source: Path | str, window: int, vocab: Vocab | bool = True
    ) -> None:
        encoder = {
            "source": str(source),
            "window": window,
            "stride": window * 3 // 4,
            "precision": "fp32",
        }
        config = {"model": {"encoder": encoder}, **task.settings}
        self.task = task
        self.nlp = spacy.blank("en", vocab=vocab)
        self.component: Any = self.nlp.add_pipe(task.factory, config=config)
        self.optimizer = Adam(
            0.0,
            L2=0.01,
            L2_is_weight_decay=True,
            grad_clip=1.0,
            eps=1e-8,
            use_averages=False,
        )

    def step(self, batch: Sequence[Example], rate: float) -> float:
        """One update."""
        losses: dict[str, float] = {}
        self.optimizer.learn_rate = rate
        self.nlp.update(batch, sgd=self.optimizer, losses=losses)
        return losses[self.task.factory]

    def annotate(self, examples: Sequence[Example]) -> None:
        """Set on the predicted Docs what the component finds."""
        for _ in self.nlp.pipe(example.predicted for example in examples):
            pass

    def perplexity(self, examples: Sequence[Example]) -> float:
        """Of a language model, over all pieces of texts."""
        scores = self.task.score(self.component, examples)
        return float(scores[self.task.metrics[0]])


def write_start(
    source: Path,
    task: Task,
    labels: list[str],
    seed: int,
    to: Path,
    dropout: float = 0.0,
) -> int:
    """Write the checkpoint that both sides open; gives its number of positions.

    What the source lacks of the head is drawn by the seed. There is no dropout, unless
    it is asked for: its random numbers would differ, and a run of minutes be mostly
    about those.
    """
    fix_random_seed(seed)
    changes: dict[str, Any] = dict.fromkeys(DROPOUTS, dropout)
    changes["problem_type"] = task.problem
    if labels:
        changes["id2label"] = dict(enumerate(labels))
    if task.loop.name == "ElectraForCausalLM":
        changes["is_decoder"] = True
    kind = getattr(spacy_electra.models, task.loop.name)
    model, _ = kind.from_pretrained_with_report(source, **changes)
    model.save_pretrained(to)
    ElectraTokenizer.from_pretrained(source).save_pretrained(to)
    positions = int(model.config.max_position_embeddings)
    limit_length(to, positions)
    return positions


def batches(count: int, size: int, steps: int, seed: int) -> Iterator[list[int]]:
    """Numbers of examples, epoch after epoch, each in another order."""
    order: list[int] = []
    shuffle = random.Random(seed).shuffle
    for _ in range(steps):
        while len(order) < size:
            epoch = list(range(count))
            shuffle(epoch)
            order += epoch
        yield order[:size]
        order = order[size:]


def learn_rate(step: int, size: Size) -> float:
    """Linear warm-up, then linear decay to nothing."""
    warmup = max(1, round(WARMUP * size.steps))
    if step < warmup:
        return size.learn_rate * (step + 1) / warmup
    return size.learn_rate * (size.steps - step) / max(1, size.steps - warmup)


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, and what came of them."""
    started = time.process_time()
    result = run()
    return time.process_time() - started, result


def train(
    ours: Ours, theirs: Loop, examples: list[Example], size: Size, seed: int
) -> Run:
    """Train both sides in turn, step by step."""
    features = [theirs.features(example) for example in examples]
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    losses: dict[str, float] = {}
    numbers = batches(len(examples), ours.task.batch, size.steps, seed)
    for step, chosen in enumerate(numbers):
        rate = learn_rate(step, size)
        batch = [examples[i] for i in chosen]
        rows = [row for i in chosen for row in features[i]]
        steps = {
            OURS: lambda batch=batch, rate=rate: ours.step(batch, rate),
            THEIRS: lambda rows=rows, rate=rate: theirs.step(rows, rate),
        }
        for side, run in steps.items():
            spent, losses[side] = timed(run)
            seconds[side].append(spent)
    return {
        "step_seconds": {side: median(values) for side, values in seconds.items()},
        "train_seconds": {side: sum(values) for side, values in seconds.items()},
        "last_loss": losses,
    }


def evaluate(ours: Ours, theirs: Loop, examples: list[Example]) -> Run:
    """Scores of both sides, by the same scorer, and the time that texts took."""
    task, seconds, scores = ours.task, {}, {}
    for name, side in ((OURS, ours), (THEIRS, theirs)):
        copies = [Example(each.predicted.copy(), each.reference) for each in examples]
        if task.is_language_model:
            spent, found = timed(
                lambda side=side, copies=copies: side.perplexity(copies)
            )
            scores[name] = {task.metrics[0]: found}
        else:
            spent, _ = timed(lambda side=side, copies=copies: side.annotate(copies))
            found = task.score(ours.component, copies)
            scores[name] = {metric: float(found[metric]) for metric in task.metrics}
        seconds[name] = spent
    return {"scores": scores, "evaluate_seconds": seconds, "texts": len(examples)}


def one_run(data: Path, source: Path, settings: Run, seed: int, size: Size) -> Run:
    """Train and evaluate a head on both sides."""
    task = TASKS[settings["task"]]
    # A pipeline of its own registers the attributes that examples have.
    reading = Ours(task, source, task.window).nlp
    training = task.read(reading, data, "train", size.steps * task.batch)
    testing = task.read(reading, data, "test", size.test)
    labels = []
    if task.labels:
        labels = heads_data.labels_of(training, per_token=task.labels == "tokens")
    with TemporaryDirectory() as folder:
        positions = write_start(source, task, labels, seed, Path(folder))
        window = min(task.window, positions)
        theirs = task.loop(Path(folder), window, window * 3 // 4)
        ours = Ours(task, folder, window, reading.vocab)
        ours.nlp.initialize(lambda: training)
    fix_random_seed(seed)
    figures = train(ours, theirs, training, size, seed)
    figures |= evaluate(ours, theirs, testing)
    return {**settings, "seed": seed, "trained_on": len(training), **figures}
