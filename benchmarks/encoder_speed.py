"""Speed of `electra` and the drop-in beside spacy-transformers, with the same weights.

    python benchmarks/encoder_speed.py --data ../shared/data --out speed.json

Everything is measured in one run on one machine: only ratios within a run mean much.
Each figure is the best of several repetitions, which other load disturbs least. On a
machine with much other load, `--clock cpu --threads 1` measures the processor's time.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import spacy
import torch
from machine import processor
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_electra.models import ElectraConfig, ElectraModel
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.alignment import align
from spacy_electra.tokenization.windows import make_windows

STRIDED = {
    "@span_getters": "spacy-transformers.strided_spans.v1",
    "window": 128,
    "stride": 96,
}
THEIRS = "spacy-transformers.TransformerModel.v3"
OURS = "spacy-electra.TransformerModel.v1"
SHAPES = ("tiny", "small", "base")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
CLOCK = CLOCKS["wall"]
Measurement = dict[str, Any]


def checkpoint(shape: str, tokenizer: ElectraTokenizer, folder: Path) -> str:
    """Random weights of a shape, with the tokenizer of the bundled checkpoint."""
    torch.manual_seed(0)
    config = ElectraConfig.preset(shape, vocab_size=tokenizer.vocab_size)
    ElectraModel(config).save_pretrained(folder)
    # Else spacy-transformers cuts texts where en_tiny ends.
    tokenizer.settings["model_max_length"] = config.max_position_embeddings
    tokenizer.save_pretrained(folder)
    return str(folder)


def theirs(source: str, **settings: Any) -> Language:
    """A `transformer` of spacy-transformers."""
    nlp = spacy.blank("en")
    model = {"@architectures": THEIRS, "name": source, "get_spans": STRIDED}
    model |= settings
    nlp.add_pipe("transformer", config={"model": model})
    nlp.initialize()
    return nlp


def drop_in(source: str, precision: str) -> Language:
    """The same with one line changed (and a precision)."""
    nlp = spacy.blank("en")
    model = {
        "@architectures": OURS,
        "name": source,
        "get_spans": STRIDED,
        "precision": precision,
    }
    nlp.add_pipe("transformer", config={"model": model})
    nlp.initialize()
    return nlp


def electra(source: str, precision: str, **model: Any) -> Language:
    """An `electra` with the windows that it has by default."""
    nlp = spacy.blank("en")
    settings = {"name": source, "precision": precision, **model}
    nlp.add_pipe("electra", config={"model": settings})
    nlp.initialize()
    return nlp


def pipelines(source: str) -> dict[str, Callable[[], Language]]:
    """What is compared, by name."""
    return {
        "spacy-transformers 128/96": lambda: theirs(source),
        "drop-in fp32 128/96": lambda: drop_in(source, "fp32"),
        "drop-in bf16 128/96": lambda: drop_in(source, "bf16"),
        "electra fp32": lambda: electra(source, "fp32"),
        "electra bf16": lambda: electra(source, "bf16"),
    }


def best_time(run: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest of several runs; one more warms up."""
    run()
    times = []
    for _ in range(repeats):
        gc.collect()
        times.append(seconds(run))
    return min(times)


def matmul_limit(dtype: torch.dtype, width: int) -> float:
    """Multiplications and additions a second (GFLOP/s) of products that fit here."""
    rows = 8192
    left = torch.randn(rows, width, dtype=dtype)
    right = torch.randn(4 * width, width, dtype=dtype)
    seconds = best_time(lambda: torch.nn.functional.linear(left, right), 20)
    return 2 * rows * width * 4 * width / seconds / 1e9


def encoder_flops(lengths: Sequence[int], config: ElectraConfig) -> float:
    """Multiplications and additions that the encoder needs for sequences."""
    width, inner = config.hidden_size, config.intermediate_size
    pieces = sum(lengths)
    squares = sum(length * length for length in lengths)
    per_layer = 2 * pieces * (4 * width * width + 2 * width * inner)
    per_layer += 4 * squares * width
    return config.num_hidden_layers * per_layer


def docs_of(path: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Words of the documents and of the sentences of a CoNLL-U file."""
    documents: list[list[str]] = []
    sentences: list[list[str]] = []
    for block in path.read_text(encoding="utf8").strip().split("\n\n"):
        words = []
        for line in block.splitlines():
            if line.startswith("# newdoc"):
                documents.append([])
            columns = line.split("\t")
            if len(columns) == 10 and columns[0].isdigit():
                words.append(columns[1])
        sentences.append(words)
        documents[-1].extend(words)
    return documents, sentences


def make_docs(nlp: Language, words: Sequence[Sequence[str]]) -> list[Doc]:
    """Docs without annotation."""
    return [Doc(nlp.vocab, words=list(part)) for part in words]


def run_pipe(nlp: Language, texts: Sequence[str]) -> None:
    """`nlp.pipe` end to end, from text."""
    for _ in nlp.pipe(texts):
        pass


def compare_pipes(
    source: str, words: dict[str, list[list[str]]], repeats: int
) -> list[Measurement]:
    """Words a second of every pipeline on every corpus.

    Runs of the pipelines take turns, so that a change of other load hits all alike.
    """
    config = ElectraModel.from_pretrained(source).config
    made = {name: make() for name, make in pipelines(source).items()}
    results = []
    for corpus, documents in words.items():
        texts = [" ".join(part) for part in documents]
        count = sum(len(part) for part in documents)
        times: dict[str, float] = dict.fromkeys(made, float("inf"))
        for nlp in made.values():
            run_pipe(nlp, texts[: len(texts) // 8])
        for _ in range(repeats):
            for name, nlp in made.items():
                times[name] = min(times[name], seconds(lambda: run_pipe(nlp, texts)))  # noqa: B023
        base = times["spacy-transformers 128/96"]
        flops = encoder_flops(window_lengths(source, texts), config)
        for name, best in times.items():
            results.append(
                {
                    "corpus": corpus,
                    "pipeline": name,
                    "words_per_second": count / best,
                    "times_spacy_transformers": base / best,
                    "gflops": flops / best / 1e9 if "electra " in name else None,
                }
            )
    return results


def seconds(run: Callable[[], Any]) -> float:
    """Seconds of one run."""
    start = CLOCK()
    run()
    return CLOCK() - start


def window_lengths(source: str, texts: Sequence[str]) -> list[int]:
    """Pieces of each default window over texts."""
    nlp = spacy.blank("en")
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source(source))
    pieces = align([nlp.make_doc(text) for text in texts], tokenizer)
    windows = make_windows(pieces, window=128, stride=96, cls_id=0, sep_id=0)
    return windows.lengths.tolist()


def step_seconds(nlp: Language, documents: list[list[str]], repeats: int) -> float:
    """Seconds of one fine-tuning step with a tagger behind the encoder."""
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}
    nlp.add_pipe("tagger", config={"model": model})
    examples = []
    for words in documents:
        doc = Doc(nlp.vocab, words=words, tags=[f"T{len(word)}" for word in words])
        examples.append(Example(Doc(nlp.vocab, words=words), doc))
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 1e-5
    return best_time(lambda: nlp.update(examples, sgd=optimizer), repeats)


def one_step(name: str, source: str, documents: list[list[str]]) -> Measurement:
    """Time of a step, and the largest memory that this process ever had."""
    taken = step_seconds(pipelines(source)[name](), documents, repeats=3)
    return {"pipeline": name, "seconds": taken, "peak_mib": peak_mib()}


def peak_mib() -> float:
    """Most memory that this process had so far.

    Linux passes the figure of `getrusage` on from the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (v for v in status.read_text().splitlines() if "VmHWM" in v)
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(task: str, *arguments: str) -> Measurement:
    """Run a task of this script alone, so that its peak memory is its own."""
    command = [sys.executable, __file__, "--task", task, *arguments]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    measured: Measurement = json.loads(out.splitlines()[-1])
    return measured


def latency(source: str, text: str, repeats: int) -> list[Measurement]:
    """Milliseconds for one short text."""
    results = []
    for name, make in pipelines(source).items():
        nlp = make()
        for _ in range(5):
            nlp(text)
        taken = best_time(lambda: nlp(text), 5 * repeats)  # noqa: B023
        results.append({"pipeline": name, "milliseconds": 1000 * taken})
    return results


def growth(
    source: str, documents: list[list[str]], sizes: Sequence[int]
) -> list[Measurement]:
    """Seconds for one document of growing length."""
    flat = [word for part in documents for word in part]
    while len(flat) < max(sizes):
        flat = flat + flat
    nlp = electra(source, "auto")
    results = []
    for size in sizes:
        text = " ".join(flat[:size])
        nlp.max_length = max(nlp.max_length, len(text) + 1)
        taken = best_time(lambda: nlp(text), 1 if size > 10**4 else 3)  # noqa: B023
        rate = size / taken
        results.append({"words": size, "seconds": taken, "words_per_second": rate})
    return results


def long_document(source: str, text: str) -> Measurement:
    """Time and memory for one document of 360,000 characters."""
    nlp = electra(source, "auto")
    before = peak_mib()
    taken = seconds(lambda: nlp(text))
    return {"seconds": taken, "mib_before": before, "peak_mib": peak_mib()}


def print_table(title: str, rows: Sequence[Measurement]) -> None:
    """Rows with the same keys, as a table."""
    if not rows:
        return
    print(f"\n{title}")
    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(n), *(len(c[i]) for c in cells)) for i, n in enumerate(names)]
    print("  ".join(n.ljust(w) for n, w in zip(names, widths, strict=True)))
    for row in cells:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:,.3g}"
    return str(value)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("encoder_speed.json"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--parts", default="pipe,step,latency,growth,long")
    parser.add_argument("--limit", type=int, default=0, help="documents; 0 for all")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--pipeline", help=argparse.SUPPRESS)
    parser.add_argument("--source", help=argparse.SUPPRESS)
    return parser.parse_args()


def run_task(arguments: argparse.Namespace, documents: list[list[str]]) -> Measurement:
    """What a process of its own was started for."""
    if arguments.task == "step":
        some = [part[:200] for part in documents[:16]]
        return one_step(arguments.pipeline, arguments.source, some)
    if arguments.task == "digits":
        return long_document(arguments.source, "1234567890 " * 32_727)
    text = " ".join(word for part in documents for word in part)
    return long_document(arguments.source, (text * 3)[:360_000])


def measure(
    arguments: argparse.Namespace,
    source: str,
    documents: list[list[str]],
    sentences: list[list[str]],
) -> Measurement:
    """All parts that were asked for; prints each table as it is there."""
    parts = arguments.parts.split(",")
    config = ElectraModel.from_pretrained(source).config
    limits = {
        "fp32": matmul_limit(torch.float32, config.hidden_size),
        "bf16": matmul_limit(torch.bfloat16, config.hidden_size),
    }
    report: Measurement = {
        "machine": processor(),
        "threads": arguments.threads,
        "torch": torch.__version__,
        "shape": arguments.shape,
        "matmul_limit_gflops": limits,
    }
    print(f"{processor()}, {arguments.threads} threads, torch {torch.__version__}")
    for name, limit in limits.items():
        print(f"{arguments.shape}: matrix products in {name}: {limit:.0f} GFLOP/s")
    if "pipe" in parts:
        words = {"documents": documents, "sentences": sentences}
        rows = compare_pipes(source, words, arguments.repeats)
        for row in rows:
            precision = "bf16" if "bf16" in row["pipeline"] else "fp32"
            gflops = row["gflops"]
            row["share_of_limit"] = gflops / limits[precision] if gflops else None
        report["pipe"] = rows
        print_table("nlp.pipe, end to end", rows)
    common = ["--source", source, "--data", str(arguments.data)]
    common += ["--threads", str(arguments.threads), "--clock", arguments.clock]
    if "step" in parts:
        rows = [
            in_own_process("step", "--pipeline", name, *common)
            for name in pipelines(source)
        ]
        for row in rows:
            row["times_spacy_transformers"] = rows[0]["seconds"] / row["seconds"]
        report["step"] = rows
        print_table("A fine-tuning step, 16 documents of at most 200 words", rows)
    if "latency" in parts:
        rows = latency(source, " ".join(sentences[0][:12]), arguments.repeats)
        report["latency"] = rows
        print_table("One short text", rows)
    if "growth" in parts:
        report["growth"] = growth(source, documents, (100, 1000, 10_000, 100_000))
        print_table("One document, electra", report["growth"])
    if "long" in parts:
        report["long"] = [
            {"text": task, **in_own_process(task, *common)}
            for task in ("words", "digits")
        ]
        print_table("One document of 360,000 characters, electra", report["long"])
    return report


def main() -> None:
    """Measure, print and write."""
    global CLOCK
    arguments = parse_arguments()
    CLOCK = CLOCKS[arguments.clock]
    torch.set_num_threads(arguments.threads)
    file = arguments.data / "ud_english_ewt" / "en_ewt-ud-dev.conllu"
    documents, sentences = docs_of(file)
    if arguments.task:
        print(json.dumps(run_task(arguments, documents)))
        return
    if arguments.limit:
        documents = documents[: arguments.limit]
        sentences = sentences[: 6 * arguments.limit]
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
    with tempfile.TemporaryDirectory() as folder:
        source = checkpoint(arguments.shape, tokenizer, Path(folder))
        report = measure(arguments, source, documents, sentences)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf8")
    print(f"\nWritten to {arguments.out}")


if __name__ == "__main__":
    main()
