"""What the time of a text that comes alone goes into, beside other engines.

The engines of `peers.py` take turns, as there, on single sentences of UD English EWT's
dev part. A call is divided into the network and all else (tokens, pieces, arrays, the
Doc). Of this package's network, a column has the matrix products by themselves: the
operators that it calls, on as many rows, with nothing between them. Where an engine's
whole network takes as long as these, no other arrangement of them would be faster.

    python benchmarks/one_text.py ../shared/data --threads 2

On a machine with much other load, `--clock cpu --threads 1` takes the processor's time
of this process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from encoder_speed import CLOCKS, SHAPES, checkpoint, docs_of
from machine import write_result
from peers import (
    CALIBRATION_TEXTS,
    STATES_TEXTS,
    Engine,
    Peer,
    Pipeline,
    engines_of,
)
from torch import Tensor
from wasabi import msg

from spacy_electra.models.int8 import Int8Encoder
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer

PARTS = ("whole", "network", "products")
Clock = Callable[[], float]


class Stopwatch:
    """A call that notes how long it takes, in milliseconds.

    Args:
        call: What it does.
        clock: Seconds.
    """

    def __init__(self, call: Callable[..., Any], clock: Clock) -> None:
        self.call, self.clock = call, clock
        self.taken: list[float] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the call gives."""
        started = self.clock()
        result = self.call(*args, **kwargs)
        self.taken.append(1000 * (self.clock() - started))
        return result


def inference_of(pipeline: Pipeline) -> Any:
    """What stands in for the network of this package's pipeline."""
    run = pipeline.nlp.get_pipe("electra").model.shim.ready(is_train=False)
    return run(lambda network: network)[0]


def products_of(encoder: Any, rows: int) -> Callable[[], None]:
    """All matrix products of the layers for so many rows, one after the other."""
    calls: list[tuple[Callable[..., Tensor], Tensor]] = []
    hidden = torch.randn(rows, encoder.config.hidden_size).to(encoder.dtype)
    inner = torch.randn(rows, encoder.config.intermediate_size).to(encoder.dtype)
    for layer in encoder.layers:
        own = layer.few_rows if isinstance(encoder, Int8Encoder) else layer
        calls += [(own.qkv, hidden), (own.output, hidden)]
        calls += [(own.up, hidden), (own.down, inner)]

    def run() -> None:
        with torch.no_grad():
            for call, inputs in calls:
                call(inputs)

    return run


def measure(
    engines: dict[str, Engine], texts: Sequence[str], rounds: int, clock: Clock
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each text in each round, by engine and part.

    Args:
        engines: By name.
        texts: Each of one window, and in int8 of few rows.
        rounds: How often they are timed.
        clock: Seconds.
    """
    found: dict[str, dict[str, list[float]]] = {}
    watches = {}
    for name, engine in engines.items():
        engine([texts[0]])
        owner, attribute = (
            (engine, "network")
            if isinstance(engine, Peer)
            else (inference_of(engine), "forward_packed")
        )
        watches[name] = Stopwatch(getattr(owner, attribute), clock)
        setattr(owner, attribute, watches[name])
        found[name] = {part: [] for part in PARTS}
    for _ in range(rounds):
        for name, engine in engines.items():
            own, watch = found[name], watches[name]
            whole = Stopwatch(engine, clock)
            # The first time around, another engine's weights are in the caches.
            for text in [*texts, *texts]:
                whole([text])
            own["whole"] += whole.taken[len(texts) :]
            own["network"] += watch.taken[-len(texts) :]
            if isinstance(engine, Pipeline):
                own["products"] += products_alone(engine, texts, clock)
    return found


def products_alone(
    pipeline: Pipeline, texts: Sequence[str], clock: Clock
) -> list[float]:
    """Milliseconds of the products of each text."""
    encoder = inference_of(pipeline)
    assert pipeline.peer is not None
    taken = []
    for text in texts:
        (batch,) = pipeline.peer.batches([text])
        run = Stopwatch(products_of(encoder, batch["input_ids"].size), clock)
        run()
        run()
        taken.append(run.taken[-1])
    return taken


def main(
    data: Path = typer.Argument(..., help="Folder of the data sets"),
    shape: str = typer.Option("small", help=f"Random weights: {', '.join(SHAPES)}"),
    threads: int = typer.Option(2, help="Of each engine"),
    rounds: int = typer.Option(5, help="How often each text is timed"),
    clock: str = typer.Option("wall", help="wall, or cpu: the time of this process"),
    out: str = typer.Option(None, help="Name of the file in results"),
) -> None:
    """Measure all engines; print and write the figures."""
    torch.set_num_threads(threads)
    file = data / "ud_english_ewt" / "en_ewt-ud-dev.conllu"
    train, _ = docs_of(file.with_name("en_ewt-ud-train.conllu"))
    calibration = [" ".join(part[:80]) for part in train[:CALIBRATION_TEXTS]]
    texts = [" ".join(part) for part in docs_of(file)[1][:STATES_TEXTS]]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
        path = Path(checkpoint(shape, tokenizer, folder / "checkpoint"))
        engines = {
            name: engine
            for name, engine in engines_of(path, folder, threads, calibration).items()
            if isinstance(engine, Peer) or engine.peer is not None
        }
        found = measure(engines, texts, rounds, CLOCKS[clock])
    figures = {
        name: {
            part: {f"p{share}": float(np.percentile(ms, share)) for share in (50, 95)}
            for part, ms in summed(own).items()
        }
        for name, own in found.items()
    }
    columns = ("whole", "all but the network", "network", "products")
    cells = list(product(columns, ("p50", "p95")))
    header = ["One text, ms", *(", ".join(cell) for cell in cells)]
    rows = [
        (name, *(f"{own[c][p]:.2f}" if c in own else "" for c, p in cells))
        for name, own in figures.items()
    ]
    msg.table(rows, header=header, divider=True)
    name = out or f"one_text_{shape}_{threads}"
    msg.good(f"Wrote {write_result(name, {'clock': clock, 'engines': figures})}")


def summed(own: dict[str, list[float]]) -> dict[str, list[float]]:
    """The parts that an engine has, and what a call takes beside its network."""
    rest = [a - b for a, b in zip(own["whole"], own["network"], strict=True)]
    return {n: ms for n, ms in {**own, "all but the network": rest}.items() if ms}


if __name__ == "__main__":
    typer.run(main)
