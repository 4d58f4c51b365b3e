"""How the cost of `electra_rtd` grows: with processes, lengths, widths and batches.

Each cell runs in a process of its own: words a second of `nlp.pipe`, from text, and the
most memory that it takes beyond the loaded pipeline (of all processes together, where
there are several; pages that they share count once).

    python benchmarks/growth.py ../shared/data/ud_english_ewt/en_ewt-ud-dev.conllu

With `--parts lengths,widths` only these run, and the others stay as they were in
`results/growth.json`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from threading import Event, Thread
from typing import Any

import spacy
import srsly
import torch
import typer
from machine import RESULTS, median, write_result
from matplotlib.figure import Figure
from rtd_speed import read_texts
from spacy.language import Language
from torch.nn import Linear
from wasabi import msg

from spacy_electra.models import ElectraConfig, ElectraForPreTraining
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "growth.png"
SHAPES = ("small", "base")
# Seconds between two looks at the memory of several processes.
SAMPLE_EVERY = 0.1
# Marks of a head with random weights would be half of all tokens.
RARELY_MARKED = -4.0
MIB = 2**20


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Args:
        value: What varies in its part, for the table and the picture.
        model: A bundled checkpoint, or a shape with random weights.
        words: In all texts together.
        length: Words of a text; 0 takes sentences as they are.
        batch_size: Of ``nlp.pipe``.
        processes: Of ``nlp.pipe``.
        threads: Of torch in each process.
    """

    value: str
    model: str = "en_tiny"
    words: int = 50_000
    length: int = 0
    batch_size: int = 256
    processes: int = 1
    threads: int = 2


TITLES = {
    "processes": "processes (threads of each)",
    "lengths": "words of a text",
    "widths": "shape",
    "batches": "texts of a batch",
}


def cells_of(part: str, cores: int) -> list[Cell]:
    """The measurements of a part."""
    if part == "processes":
        pairs = [(1, cores), (1, 1), (2, 1), (3, 1), (4, 1)]
        return [Cell(f"{n} ({t})", processes=n, threads=t) for n, t in pairs]
    if part == "lengths":
        lengths = (10, 100, 1000, 10_000, 100_000)
        return [Cell(f"{n:,}", words=100_000, length=n, threads=cores) for n in lengths]
    if part == "widths":
        words = {"en_tiny": 50_000, "small": 25_000, "base": 5_000}
        return [Cell(m, model=m, words=n, threads=cores) for m, n in words.items()]
    sizes = (1, 4, 16, 64, 256, 512)
    return [Cell(str(n), words=25_000, batch_size=n, threads=cores) for n in sizes]


def texts_of(file: Path, cell: Cell) -> tuple[list[str], int]:
    """The texts of a cell, and their words between blanks."""
    sentences = read_texts(file, documents=False)
    if cell.length:
        words = list(islice(cycle(" ".join(sentences).split()), cell.words))
        texts = [
            " ".join(words[start : start + cell.length])
            for start in range(0, len(words), cell.length)
        ]
        return texts, len(words)
    texts, count = [], 0
    for text in cycle(sentences):
        if count >= cell.words:
            break
        texts.append(text)
        count += len(text.split())
    return texts, count


def pipeline(model: str, folder: Path) -> Language:
    """`electra_rtd` with a bundled checkpoint, or random weights of a shape."""
    source = model
    if model in SHAPES:
        tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
        torch.manual_seed(0)
        config = ElectraConfig.preset(model, vocab_size=tokenizer.vocab_size)
        network = ElectraForPreTraining(config)
        *_, last = (part for part in network.head.modules() if isinstance(part, Linear))
        last.bias.data.fill_(RARELY_MARKED)
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        source = str(folder)
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": {"source": source}}})
    nlp.initialize()
    return nlp


def status_mib(name: str) -> float:
    """A figure of /proc/self/status that is memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def tree_mib(parent: int) -> float:
    """Memory of a process and its children; each page counts once."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    children = [int(pid) for task in tasks for pid in task.read_text().split()]
    total = 0
    for pid in (parent, *children):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(
            int(line.split()[1])
            for line in rollup.splitlines()
            if line.startswith("Pss:")
        )
    return total / 1024


class Peak:
    """Most memory while a block runs, beyond what there was before, in MiB.

    Args:
        sampled: Whether to look at the children as well, time and again.
    """

    def __init__(self, sampled: bool) -> None:
        self.sampled = sampled
        self.mib = 0.0
        self._done = Event()

    def __enter__(self) -> Peak:
        if self.sampled:
            self._before = tree_mib(os.getpid())
            self._thread = Thread(target=self._sample)
            self._thread.start()
        else:
            # Linux forgets the peak, which loading may have set.
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._before = status_mib("VmRSS")
        return self

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_EVERY):
            self.mib = max(self.mib, tree_mib(os.getpid()) - self._before)

    def __exit__(self, *error: object) -> None:
        if self.sampled:
            self._done.set()
            self._thread.join()
        else:
            self.mib = max(0.0, status_mib("VmHWM") - self._before)


def run_cell(cell: Cell, file: Path, rounds: int, device: str) -> dict[str, float]:
    """Measure one, in this process."""
    torch.set_num_threads(cell.threads)
    if device == "cuda":
        spacy.require_gpu()
    texts, count = texts_of(file, cell)
    with tempfile.TemporaryDirectory() as folder:
        nlp = pipeline(cell.model, Path(folder))
    nlp.max_length = max(map(len, texts)) + 1
    # A part of the texts warms up, of any length.
    warm = [text[:2000] for text in texts[: max(len(texts) // 20, 1)]]
    seconds = []
    for _ in nlp.pipe(warm, batch_size=cell.batch_size):
        pass
    with Peak(sampled=cell.processes > 1) as peak:
        for _ in range(rounds):
            start = time.perf_counter()
            settings = {"batch_size": cell.batch_size, "n_process": cell.processes}
            for _ in nlp.pipe(texts, **settings):
                pass
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    measured = {"words_per_second": count / median(seconds), "mib": peak.mib}
    if device == "cuda":
        measured["device_mib"] = torch.cuda.max_memory_allocated() / MIB
    return measured


def in_own_process(
    cell: Cell, file: Path, rounds: int, device: str
) -> dict[str, float]:
    """Measure one alone."""
    command = [sys.executable, __file__, str(file), "--cell", json.dumps(asdict(cell))]
    command += ["--rounds", str(rounds), "--device", device]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def draw(parts: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """Words a second and memory of each part, side by side."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, (part, rows) in zip(
        figure.subplots(2, 2).ravel(), parts.items(), strict=False
    ):
        places = range(len(rows))
        speed = [row["words_per_second"] for row in rows]
        axes.bar(places, speed, width=0.6, color="tab:blue", alpha=0.6)
        axes.set_xticks(places, [row["value"] for row in rows])
        axes.set_xlabel(TITLES[part])
        axes.set_ylabel("words/s", color="tab:blue")
        memory = axes.twinx()
        memory.plot(places, [row["mib"] for row in rows], "o-", color="tab:red")
        memory.set_ylim(bottom=0)
        memory.set_ylabel("MiB", color="tab:red")
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, dpi=100)


def table_of(part: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The lines of a table as docs have them."""
    yield f"| {TITLES[part]} | words/s | MiB |"
    yield "|---|---|---|"
    for row in rows:
        speed, mib = row["words_per_second"], row["mib"]
        yield f"| {row['value']} | {speed:,.0f} | {mib:,.0f} |"


def main(
    corpus: Path = typer.Argument(..., help="CoNLL-U file"),
    parts: str = typer.Option(",".join(TITLES), help="Which parts, comma between"),
    rounds: int = typer.Option(2, help="How often each cell is timed"),
    share: float = typer.Option(1.0, help="Of the words, for a quick look"),
    device: str = typer.Option("cpu", help="cpu or cuda"),
    name: str = typer.Option("growth", help="Of the file of results"),
    picture: Path = typer.Option(PICTURE, help="Where the picture goes"),
    cell: str = typer.Option("", help="One cell as JSON, for a process of its own"),
) -> None:
    """Measure, print tables, write JSON and the picture."""
    if cell:
        print(json.dumps(run_cell(Cell(**json.loads(cell)), corpus, rounds, device)))
        return
    wanted = parts.split(",")
    if unknown := sorted(set(wanted) - set(TITLES)):
        raise SystemExit(f"no part {unknown[0]!r}; there are {', '.join(TITLES)}")
    name = name if device == "cpu" else f"{name}_{device}"
    file = RESULTS / f"{name}.json"
    known = srsly.read_json(file)["parts"] if file.exists() else {}
    cores = len(os.sched_getaffinity(0))
    for part in wanted:
        # Another process has no context of the device.
        cells = [
            c for c in cells_of(part, cores) if device == "cpu" or c.processes == 1
        ]
        rows = []
        for each in cells:
            whole = Cell(**{**asdict(each), "words": int(each.words * share)})
            measured = in_own_process(whole, corpus, rounds, device)
            rows.append({**asdict(whole), **measured})
        known[part] = rows
        print("\n".join(["", *table_of(part, rows)]), flush=True)
    known = {part: known[part] for part in TITLES if part in known}
    write_result(name, {"rounds": rounds, "share": share, "parts": known})
    draw(known, picture)
    msg.good(f"Wrote {file} and {picture}")


if __name__ == "__main__":
    typer.run(main)
