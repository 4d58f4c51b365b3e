"""An encoder from text to states, beside what else runs it: speed, latency and error.

One table: spacy-transformers, Transformers on torch, ONNX Runtime, OpenVINO, and this
package, with the same weights, in each precision that they have, on UD English EWT's
dev part. The engines take turns, round after round, and a figure is the median of the
rounds. Peers tokenize with Transformers' fast tokenizer, cut texts into windows of 128
pieces as this package does, sort them by length and pad batches of 32; this package is
the whole `nlp.pipe` with `electra`, and `nlp(text)` for a text that comes alone. Words
are what white space separates.

    python benchmarks/peers.py ../shared/data --threads 2

On a machine with much other load, `--clock cpu --threads 1` takes the processor's time
of this process. `--profile` tells where this package's time goes, by torch's operators;
`--accuracy benchmarks/results/int8_accuracy.json` adds what fine-tuned pipelines reach
in each precision, as `int8_accuracy.py` measured it.

Peers that are not installed are left out (`pip install spacy-electra[bench]` has all).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import spacy
import srsly
import torch
import typer
from encoder_speed import (
    CLOCKS,
    SHAPES,
    checkpoint,
    docs_of,
    electra,
    encoder_flops,
    theirs,
)
from machine import in_turn, median, write_result
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from wasabi import msg

from spacy_electra.exchange.calibration import calibration_batches
from spacy_electra.exchange.formats import FORMATS
from spacy_electra.models import ElectraModel, PackedBatch
from spacy_electra.models.inference import PackedLinear
from spacy_electra.models.int8 import Inputs, Int8Linear, Range, can_quantize
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer

WINDOW, STRIDE = 128, 96
SENTENCES_PER_BATCH = 32
CALIBRATION_TEXTS = 128
STATES_TEXTS = 64
MOST_OPERATORS = 12
# Products that tell the machine's limit, and how many are timed at once. What comes of
# more rows would not stay in the caches.
LIMIT_ROWS, LIMIT_CALLS = 1024, 80
# Of the metrics that int8_accuracy.py writes, one a task, and what to call it.
SHOWN_METRICS = {
    "ewt": ("dep_las", "EWT, LAS"),
    "wnut17": ("ents_f", "WNUT-17, F"),
}
REFERENCE = "Transformers, torch fp32"
Batch = dict[str, np.ndarray]


class Peer:
    """An engine that takes padded batches.

    Args:
        tokenizer: Transformers' fast one.
        network: From a batch to the states, float [B, S, H].
        precision: That most of its products are in.
        run_all: Runs many batches, where that is more than one after the other.
    """

    def __init__(
        self,
        tokenizer: Any,
        network: Callable[[Batch], np.ndarray],
        precision: str,
        run_all: Callable[[Sequence[Batch]], None] | None = None,
    ) -> None:
        self.tokenizer, self.network, self.precision = tokenizer, network, precision
        self.run_all = run_all

    def batches(self, texts: Sequence[str]) -> Iterator[Batch]:
        """Windows of texts, sorted by length and padded."""
        rows = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=WINDOW,
            stride=WINDOW - 2 - STRIDE,
            return_overflowing_tokens=True,
        )["input_ids"]
        rows.sort(key=len)
        for start in range(0, len(rows), SENTENCES_PER_BATCH):
            own = rows[start : start + SENTENCES_PER_BATCH]
            longest = max(map(len, own))
            ids = np.zeros((len(own), longest), dtype=np.int64)
            mask = np.zeros_like(ids)
            for place, row in enumerate(own):
                ids[place, : len(row)] = row
                mask[place, : len(row)] = 1
            types = np.zeros_like(ids)
            yield {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}

    def __call__(self, texts: Sequence[str]) -> None:
        """All states of texts."""
        batches = list(self.batches(texts))
        if self.run_all is not None and len(batches) > 1:
            self.run_all(batches)
            return
        for batch in batches:
            self.network(batch)

    def states(self, texts: Sequence[str]) -> np.ndarray:
        """Of the pieces of windows, in the order of their length, float [T, H]."""
        found = []
        for batch in self.batches(texts):
            mask = batch["attention_mask"].astype(bool)
            found.append(self.network(batch)[mask])
        return np.concatenate(found).astype(np.float32)


class Pipeline:
    """A pipeline of spaCy.

    Args:
        nlp: With one component.
        precision: That most of its products are in.
        peer: Cuts windows, where states are compared.
    """

    def __init__(self, nlp: Language, precision: str, peer: Peer | None = None) -> None:
        nlp.tokenizer = WhiteSpace(nlp.vocab)
        self.nlp, self.precision, self.peer = nlp, precision, peer

    def __call__(self, texts: Sequence[str]) -> None:
        """All states of texts."""
        if len(texts) == 1:
            self.nlp(texts[0])
            return
        for _ in self.nlp.pipe(texts):
            pass

    def states(self, texts: Sequence[str]) -> np.ndarray | None:
        """As those of a peer; None for spacy-transformers, which runs the reference."""
        if self.peer is None:
            return None
        run = self.nlp.get_pipe("electra").model.shim.ready(is_train=False)
        found = []
        for batch in self.peer.batches(texts):
            lengths = batch["attention_mask"].sum(1)
            rows = zip(batch["input_ids"], lengths, strict=True)
            sequences = [torch.from_numpy(ids[:length]) for ids, length in rows]
            packed = PackedBatch.from_sequences(sequences)
            output, _ = run(lambda n, p=packed: n.forward_packed(p).last_hidden_state)
            found.append(output.float().numpy())
        return np.concatenate(found)


class WhiteSpace:
    """Tokens that white space separates."""

    def __init__(self, vocab: Any) -> None:
        self.vocab = vocab

    def __call__(self, text: str) -> Doc:
        """A Doc without annotation."""
        return Doc(self.vocab, words=text.split())


Engine = Peer | Pipeline


def installed(*packages: str) -> bool:
    """Whether all packages are there; says which are not."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        msg.warn(f"Left out, for want of {', '.join(missing)}")
    return not missing


def of_transformers(source: Path, tokenizer: Any) -> dict[str, Engine]:
    """Transformers' own class, in torch."""
    from transformers import AutoModel

    network = AutoModel.from_pretrained(source).eval()

    def run(batch: Batch, bf16: bool) -> np.ndarray:
        inputs = {name: torch.from_numpy(rows) for name, rows in batch.items()}
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, bf16):
            states = network(**inputs).last_hidden_state
        return states.float().numpy()

    return {
        REFERENCE: Peer(tokenizer, lambda batch: run(batch, False), "fp32"),
        "Transformers, torch bf16 autocast": Peer(
            tokenizer, lambda batch: run(batch, True), "bf16"
        ),
    }


def of_onnxruntime(
    network: ElectraModel, folder: Path, tokenizer: Any, threads: int
) -> Iterator[tuple[str, Engine]]:
    """ONNX Runtime, fp32 and dynamic int8."""
    import onnxruntime

    form = FORMATS["onnx"]
    for precision in form.PRECISIONS:
        place = folder / f"onnx_{precision}"
        place.mkdir()
        form.write(network, place, precision, ())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(place / form.FILE, options)
        yield (
            f"ONNX Runtime {precision}",
            Peer(
                tokenizer,
                lambda batch, s=session: s.run(["last_hidden_state"], batch)[0],
                precision,
            ),
        )


def of_openvino(
    network: ElectraModel,
    folder: Path,
    tokenizer: Any,
    threads: int,
    calibration: Sequence[Batch],
) -> Iterator[tuple[str, Engine]]:
    """OpenVINO: fp32, bf16 and NNCF's int8; single batches in its latency mode."""
    import openvino

    form = FORMATS["openvino"]
    for precision, hint in (("fp32", "f32"), ("fp32", "bf16"), ("int8", "f32")):
        place = folder / f"openvino_{precision}"
        if not place.exists():
            place.mkdir()
            form.write(network, place, precision, calibration)
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
        }
        single, many = (
            openvino.compile_model(
                place / form.FILE, "CPU", {**settings, "PERFORMANCE_HINT": mode}
            )
            for mode in ("LATENCY", "THROUGHPUT")
        )
        queue = openvino.AsyncInferQueue(many)

        def run_all(batches: Sequence[Batch], queue: Any = queue) -> None:
            for batch in batches:
                queue.start_async(batch)
            queue.wait_all()

        name = "bf16" if hint == "bf16" else precision
        yield (
            f"OpenVINO {name}",
            Peer(
                tokenizer,
                lambda batch, m=single: m(batch)["last_hidden_state"],
                name,
                run_all,
            ),
        )


def of_package(source: Path, peer: Peer, texts: Sequence[str]) -> dict[str, Engine]:
    """`nlp.pipe` with `electra`, in each precision that this processor has."""
    engines: dict[str, Engine] = {}
    # Not that of a pipeline, which would watch its weights from now on.
    network = ElectraModel.from_pretrained(source)
    for precision in ("fp32", "bf16", "int8"):
        nlp = electra(str(source), precision)
        model = nlp.get_pipe("electra").model
        if precision == "int8" and not can_quantize(network):
            msg.warn("Left out: int8, which this processor or torch has not")
            continue
        docs = [nlp.make_doc(text) for text in texts]
        model.calibrate(Example(doc, doc).reference for doc in docs)
        engines[f"spacy-electra {precision}"] = Pipeline(nlp, precision, peer)
    return engines


def products(width: int) -> dict[str, Callable[[], Any]]:
    """Matrix products alone, in each precision: [rows, width] x [width, 4 width]."""
    linear = torch.nn.Linear(width, 4 * width)
    found: dict[str, Callable[[], Any]] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        packed = PackedLinear(linear, dtype)
        found[name] = partial(packed, torch.randn(LIMIT_ROWS, width, dtype=dtype))
    rows = torch.randint(0, 256, (LIMIT_ROWS, width), dtype=torch.uint8)
    inputs = Inputs(Range(0.02, 128), torch.ones(width))
    try:
        integers = Int8Linear(linear.weight, linear.bias, inputs)
    except (AttributeError, RuntimeError):
        return found
    return {**found, "int8": lambda: integers(rows, torch.bfloat16)}


def repeated(run: Callable[[], Any]) -> None:
    """Some calls, so that a clock can tell how long one takes."""
    for _ in range(LIMIT_CALLS):
        run()


def latencies(
    engines: dict[str, Engine],
    texts: Sequence[str],
    clock: Callable[[], float],
    rounds: int = 3,
) -> dict[str, dict[str, float]]:
    """Milliseconds of single texts, the middle one and that of the slowest 20th.

    The engines take turns; in each, texts go through once before they are timed, since
    another engine's weights were in the caches.
    """
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            for text in texts:
                engine([text])
            for text in texts:
                started = clock()
                engine([text])
                taken[name].append(1000 * (clock() - started))
    return {
        name: {f"p{share}": float(np.percentile(own, share)) for share in (50, 95)}
        for name, own in taken.items()
    }


def engines_of(
    source: Path, folder: Path, threads: int, calibration: Sequence[str]
) -> dict[str, Engine]:
    """All that are installed, by name."""
    from transformers import AutoTokenizer

    network = ElectraModel.from_pretrained(source).eval()
    tokenizer = AutoTokenizer.from_pretrained(source)
    found: dict[str, Engine] = {}
    if installed("spacy_transformers"):
        name = "spacy-transformers"
        found[name] = Pipeline(theirs(str(source)), "fp32")
    found |= of_transformers(source, tokenizer)
    if installed("onnx", "onnxscript", "onnxruntime"):
        found |= of_onnxruntime(network, folder, tokenizer, threads)
    if installed("onnx", "onnxscript", "openvino", "nncf"):
        own = ElectraTokenizer.from_pretrained(source)
        batches = calibration_batches(calibration, own, network)
        found |= of_openvino(network, folder, tokenizer, threads, batches)
    peer = found[REFERENCE]
    assert isinstance(peer, Peer)
    return found | of_package(source, peer, calibration)


def measure(
    engines: dict[str, Engine],
    corpora: dict[str, list[str]],
    rounds: int,
    single: Sequence[str],
    flops: dict[str, float],
    width: int,
    clock: Callable[[], float],
) -> list[dict[str, Any]]:
    """A row an engine. The machine's limit takes its turn among the engines."""
    limits = products(width)
    limit_flops = LIMIT_CALLS * 2 * LIMIT_ROWS * width * 4 * width
    reference = engines[REFERENCE].states(single)
    rows: list[dict[str, Any]] = []
    of_single = latencies(engines, single, clock)
    for name, engine in engines.items():
        states = engine.states(single)
        error = None
        if states is not None and name != REFERENCE:
            difference = np.linalg.norm(states - reference)
            error = float(difference / np.linalg.norm(reference))
        rows.append({"engine": name, "error": error, "latency_ms": of_single[name]})
    for corpus, texts in corpora.items():
        runs: dict[str, Callable[[], Any]]
        runs = {n: lambda e=e, t=texts: e(t) for n, e in engines.items()}
        runs |= {f"limit {n}": partial(repeated, run) for n, run in limits.items()}
        seconds = in_turn(runs, rounds, clock)
        words = sum(len(text.split()) for text in texts)
        for row in rows:
            own = seconds[row["engine"]]
            first = seconds[next(iter(engines))]
            precision = engines[row["engine"]].precision
            limit = seconds[f"limit {precision}"]
            row[corpus] = {
                "words_per_second": words / median(own),
                "times_the_first": median(
                    [a / b for a, b in zip(first, own, strict=True)]
                ),
                "limit_gflops": limit_flops / median(limit) / 1e9,
                "share_of_limit": flops[corpus]
                / limit_flops
                * median([a / b for a, b in zip(limit, own, strict=True)]),
            }
    return rows


def profile_of(engine: Engine, calls: Sequence[Sequence[str]]) -> dict[str, float]:
    """The share of the time of each of torch's operators, largest first.

    With one thread, since the profiler does not see those of streams.

    Args:
        engine: Runs.
        calls: The texts of each call.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU]
    ) as found:
        for texts in calls:
            engine(texts)
    torch.set_num_threads(threads)
    rows = {row.key: row.self_cpu_time_total for row in found.key_averages()}
    total = sum(rows.values())
    largest = sorted(rows, key=rows.__getitem__, reverse=True)[:MOST_OPERATORS]
    return {name: rows[name] / total for name in largest}


def print_profiles(profiles: dict[str, dict[str, float]]) -> None:
    """A row an operator, a column a precision and corpus."""
    names = list(dict.fromkeys(name for own in profiles.values() for name in own))
    rows = [
        (name, *(f"{own.get(name, 0):.1%}" for own in profiles.values()))
        for name in names
    ]
    msg.table(rows, header=("Operator", *profiles), divider=True)


def add_metrics(
    rows: Sequence[dict[str, Any]], engines: dict[str, Engine], found: dict[str, Any]
) -> None:
    """Add what this package's fine-tuned pipelines reach in each precision.

    Args:
        rows: A row an engine.
        engines: By name.
        found: What `int8_accuracy.py` wrote: metrics of each run, by task.
    """
    for row in rows:
        engine = engines[row["engine"]]
        if isinstance(engine, Pipeline) and engine.peer is not None:
            row["metrics"] = {
                name: mean(run[engine.precision][metric] for run in found["runs"][task])
                for task, (metric, name) in SHOWN_METRICS.items()
                if task in found["runs"]
            }


def print_rows(rows: Sequence[dict[str, Any]], corpora: Sequence[str]) -> None:
    """The table."""
    header = ["Engine"]
    for corpus in corpora:
        header += [f"{corpus}, words/s", "times", "of limit"]
    header += ["Error of states", "One text, p50 ms", "p95 ms"]
    metrics = list(dict.fromkeys(n for row in rows for n in row.get("metrics", ())))
    header += metrics
    cells = []
    for row in rows:
        line = [row["engine"]]
        for corpus in corpora:
            own = row[corpus]
            line += [
                f"{own['words_per_second']:,.0f}",
                f"{own['times_the_first']:.1f}",
                f"{own['share_of_limit']:.0%}",
            ]
        line.append("" if row["error"] is None else f"{row['error']:.2%}")
        line += [f"{row['latency_ms'][name]:.1f}" for name in ("p50", "p95")]
        own = row.get("metrics", {})
        line += [f"{own[name]:.2%}" if name in own else "" for name in metrics]
        cells.append(line)
    msg.table(cells, header=header, divider=True)


def main(
    data: Path = typer.Argument(..., help="Folder of the data sets"),
    shape: str = typer.Option("small", help=f"Random weights: {', '.join(SHAPES)}"),
    source: str = typer.Option(None, help="Checkpoint, in place of random weights"),
    threads: int = typer.Option(2, help="Of each engine"),
    rounds: int = typer.Option(3, help="How often each is timed"),
    limit: int = typer.Option(0, help="Most documents; 0 for all"),
    sentences: int = typer.Option(0, help="Most sentences; 0 for all"),
    clock: str = typer.Option("wall", help="wall, or cpu: the time of this process"),
    accuracy: Path = typer.Option(None, help="What int8_accuracy.py wrote"),
    profile: bool = typer.Option(False, "--profile", help="Profile this package, too"),
    out: str = typer.Option(None, help="Name of the file in results"),
) -> None:
    """Measure all engines; print and write the figures."""
    torch.set_num_threads(threads)
    file = data / "ud_english_ewt" / "en_ewt-ud-dev.conllu"
    documents, all_sentences = docs_of(file)
    train, _ = docs_of(file.with_name("en_ewt-ud-train.conllu"))
    calibration = [" ".join(part[:80]) for part in train[:CALIBRATION_TEXTS]]
    corpora = {
        "sentences": [" ".join(part) for part in all_sentences[: sentences or None]],
        "documents": [" ".join(part) for part in documents[: limit or None]],
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if source is None:
            tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
            path = Path(checkpoint(shape, tokenizer, folder / "checkpoint"))
        else:
            path = folder / "checkpoint"
            ElectraModel.from_pretrained(source).save_pretrained(path)
            ElectraTokenizer.from_pretrained(source).save_pretrained(path)
        engines = engines_of(path, folder, threads, calibration)
        config = ElectraModel.from_pretrained(path).config
        peer = engines[REFERENCE]
        assert isinstance(peer, Peer)
        flops = {
            name: encoder_flops(
                [int(n) for b in peer.batches(t) for n in b["attention_mask"].sum(1)],
                config,
            )
            for name, t in corpora.items()
        }
        single = corpora["sentences"][:STATES_TEXTS]
        width = config.hidden_size
        rows = measure(engines, corpora, rounds, single, flops, width, CLOCKS[clock])
        calls = {name: [texts] for name, texts in corpora.items()}
        calls["one by one"] = [[text] for text in single]
        profiles = {
            f"{engine.precision}, {kind}": profile_of(engine, own)
            for kind, own in calls.items()
            for engine in engines.values()
            if profile and isinstance(engine, Pipeline) and engine.peer is not None
        }
    if accuracy is not None:
        add_metrics(rows, engines, srsly.read_json(accuracy))
    print_rows(rows, list(corpora))
    if profiles:
        print_profiles(profiles)
    figures = {
        "checkpoint": source or shape,
        "texts": {name: len(texts) for name, texts in corpora.items()},
        "spacy": spacy.__version__,
        "clock": clock,
        "rows": rows,
        "profiles": profiles,
    }
    name = out or f"peers_{source or shape}_{threads}"
    msg.good(f"Wrote {write_result(name, figures)}")


if __name__ == "__main__":
    typer.run(main)
