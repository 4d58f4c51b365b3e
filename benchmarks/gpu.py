"""The tables of speed on a GPU: attention, pipelines, pretraining, in bf16.

    python benchmarks/gpu.py ../shared/data/ud_english_ewt/en_ewt-ud-dev.conllu

- The encoder alone: packed batches and the kernel that takes any lengths, beside the
  same sequences padded to the longest of their batch and torch's fused attention.
- `nlp.pipe` from text: `electra` beside spacy-transformers with mixed precision.
- Pretraining: what `benchmarks/pretrain_speed.py` measures, with the share of what the
  device's matrix products reach in the same run.

Shares are of a product that is measured on the device, not of a data sheet. How cost
grows there: `python benchmarks/growth.py CORPUS --device cuda`. Without a GPU this says
so and does nothing; `--device cpu` runs the same code, for a test of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import spacy
import srsly
import torch
import torch.nn.functional as F
import typer
from encoder_speed import checkpoint, electra, encoder_flops, theirs
from machine import median, write_result
from rtd_speed import read_texts
from spacy.language import Language
from thinc.util import has_cupy_gpu
from torch import Tensor
from wasabi import msg

from spacy_electra.models import (
    ElectraConfig,
    ElectraModel,
    PackedBatch,
    split_by_tokens,
)
from spacy_electra.models.precision import autocast
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.windows import SPECIALS, with_specials

PRECISION = "bf16"
MASKED = 0.15
PRETRAIN = Path(__file__).parent / "pretrain_speed.py"


def seconds_of(run: Callable[[], Any], device: str, rounds: int) -> float:
    """The median; the device has done all of a run before the clock is read."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    times = []
    for turn in range(rounds + 1):
        wait()
        start = time.perf_counter()
        run()
        wait()
        if turn:
            times.append(time.perf_counter() - start)
    return median(times)


def peak_flops(device: str, size: int, rounds: int) -> float:
    """Multiplications and additions a second of a large product in bf16."""
    left, right = (
        torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2)
    )
    return 2 * size**3 / seconds_of(lambda: F.linear(left, right), device, rounds)


def packed(sequences: Sequence[Tensor], max_tokens: int) -> list[PackedBatch]:
    """Batches without padding, of sequences of like length."""
    lengths = [len(ids) for ids in sequences]
    groups = split_by_tokens(lengths, max_tokens)
    return [PackedBatch.from_sequences([sequences[i] for i in g]) for g in groups]


def padded(sequences: Sequence[Tensor], max_tokens: int) -> list[PackedBatch]:
    """The same batches where each sequence is as long as the longest of its batch."""
    lengths = [len(ids) for ids in sequences]
    batches = []
    for group in split_by_tokens(lengths, max_tokens):
        longest = max(lengths[i] for i in group)
        own = [F.pad(sequences[i], (0, longest - lengths[i])) for i in group]
        batches.append(PackedBatch.from_sequences(own))
    return batches


def encoder_rows(
    shape: str, sequences: list[Tensor], words: int, options: Namespace, peak: float
) -> list[dict[str, Any]]:
    """Words a second of the encoder, packed and padded."""
    torch.manual_seed(0)
    config = ElectraConfig.preset(shape)
    network = ElectraModel(config).to(options.device).eval()
    # What has to be computed; padding is what one would rather not.
    flops = encoder_flops([len(ids) for ids in sequences], config)
    rows = []
    for name, make in (("packed, any lengths", packed), ("padded, fused", padded)):
        batches = [b.to(options.device) for b in make(sequences, options.max_tokens)]

        def run(batches: list[PackedBatch] = batches) -> None:
            with torch.inference_mode(), autocast(network.device, PRECISION):
                for batch in batches:
                    network.forward_packed(batch)

        kernel = "spacy_electra.models.attention.varlen_attn"
        if make is padded:
            with patch(kernel, None):
                taken = seconds_of(run, options.device, options.rounds)
        else:
            taken = seconds_of(run, options.device, options.rounds)
        rows.append(
            {
                "shape": shape,
                "encoder": name,
                "words_per_second": words / taken,
                "share_of_peak": flops / taken / peak,
            }
        )
    return rows


def pipelines(source: str, device: str) -> dict[str, Language]:
    """What runs from text."""
    # Their mixed precision is for GPUs alone.
    mixed = {"mixed_precision": True} if device == "cuda" else {}
    return {
        "spacy-transformers, mixed precision": theirs(source, **mixed),
        "electra": electra(source, PRECISION),
    }


def pipe_rows(
    shape: str, texts: list[str], words: int, options: Namespace
) -> list[dict[str, Any]]:
    """Words a second of `nlp.pipe`."""
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = checkpoint(shape, tokenizer, Path(folder))
        for name, nlp in pipelines(source, options.device).items():

            def run(nlp: Language = nlp) -> None:
                for _ in nlp.pipe(texts):
                    pass

            taken = seconds_of(run, options.device, options.rounds)
            rows.append(
                {"shape": shape, "pipeline": name, "words_per_second": words / taken}
            )
    return rows


def pretraining_rows(
    shape: str, options: Namespace, peak: float
) -> list[dict[str, Any]]:
    """Tokens a second of both loops, and the share of the peak."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        settings = {
            "size": shape,
            "length": options.length,
            "batch-size": options.batch_size,
            "steps": options.steps,
            "device": options.device,
            "precisions": PRECISION,
            "json": file,
        }
        arguments = [f for k, v in settings.items() for f in (f"--{k}", str(v))]
        subprocess.run([sys.executable, str(PRETRAIN), *arguments], check=True)
        rows = srsly.read_json(file)
    per_token = step_flops(ElectraConfig.preset(shape), options.length)
    return [
        {
            "shape": shape,
            "loop": row["loop"],
            "tokens_per_second": row["speed"],
            "share_of_peak": row["speed"] * per_token / peak,
        }
        for row in rows
    ]


def step_flops(config: ElectraConfig, length: int) -> float:
    """Multiplications and additions of a step, with its way back, for each piece."""
    generator = config.generator()
    width = config.embedding_size
    encoders = sum(encoder_flops([length], c) / length for c in (generator, config))
    guesses = 2 * width * (generator.hidden_size + config.vocab_size)
    verdict = 2 * config.hidden_size * (config.hidden_size + 1)
    return 3 * (encoders + MASKED * guesses + verdict)


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """A table of rows with the same keys."""
    if not rows:
        return
    msg.divider(title)
    body = [
        [
            f"{value:.1%}"
            if key.startswith("share")
            else f"{value:,.0f}"
            if isinstance(value, float)
            else value
            for key, value in row.items()
        ]
        for row in rows
    ]
    msg.table(body, header=list(rows[0]), divider=True)


def measure(corpus: Path, options: Namespace) -> dict[str, Any]:
    """All tables; each is printed as it is there."""
    texts = read_texts(corpus, documents=False)[: options.limit or None]
    words = sum(len(text.split()) for text in texts)
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
    cls_id, sep_id = tokenizer.cls_token_id, tokenizer.sep_token_id
    sequences = [
        torch.from_numpy(with_specials(ids[: 512 - SPECIALS], cls_id, sep_id))
        for ids in tokenizer.encode_ids(texts)
    ]
    peak = peak_flops(options.device, options.product, options.rounds)
    report: dict[str, Any] = {"peak_tflops": peak / 1e12, **vars(options)}
    print(f"A product of {options.product}² in bf16: {peak / 1e12:,.1f} TFLOP/s")
    shapes = options.shapes.split(",")
    report["encoder"] = [
        row
        for shape in shapes
        for row in encoder_rows(shape, sequences, words, options, peak)
    ]
    show("The encoder alone", report["encoder"])
    if options.device == "cuda" and not has_cupy_gpu:
        msg.warn(
            "Pipelines are left out: spaCy needs CuPy (pip install spacy[cuda12x])"
        )
    else:
        if options.device == "cuda":
            spacy.require_gpu()
        report["pipelines"] = [
            row for shape in shapes for row in pipe_rows(shape, texts, words, options)
        ]
        show("nlp.pipe, from text", report["pipelines"])
    report["pretraining"] = [
        row
        for shape in options.pretrain.split(",")
        for row in pretraining_rows(shape, options, peak)
    ]
    show("Pretraining", report["pretraining"])
    return report


def main(
    corpus: Path = typer.Argument(..., help="CoNLL-U file"),
    device: str = typer.Option("cuda", help="cuda; cpu tries the code"),
    shapes: str = typer.Option("small,base", help="Shapes, comma between"),
    pretrain: str = typer.Option("small,base", help="Shapes to pretrain"),
    rounds: int = typer.Option(5, help="How often each is timed"),
    limit: int = typer.Option(0, help="Sentences; 0 for all"),
    max_tokens: int = typer.Option(16_384, help="Pieces of a batch"),
    product: int = typer.Option(8192, help="Rows of the product that gives the peak"),
    length: int = typer.Option(128, help="Pieces of a sequence in pretraining"),
    batch_size: int = typer.Option(256, help="Sequences of a step of pretraining"),
    steps: int = typer.Option(20, help="Steps of pretraining"),
) -> None:
    """Measure, print tables and write JSON."""
    options = Namespace(
        device=device,
        shapes=shapes,
        pretrain=pretrain,
        rounds=rounds,
        limit=limit,
        max_tokens=max_tokens,
        product=product,
        length=length,
        batch_size=batch_size,
        steps=steps,
    )
    if device == "cuda" and not torch.cuda.is_available():
        msg.fail("There is no GPU that torch can use, so nothing is measured", exits=1)
    torch.manual_seed(0)
    np.random.seed(0)
    msg.good(f"Wrote {write_result(f'gpu_{device}', measure(corpus, options))}")


if __name__ == "__main__":
    typer.run(main)
