"""`python -m spacy electra prepare`: tokenize a corpus for pretraining."""

from __future__ import annotations

import os
import time
from pathlib import Path

import typer
from tqdm import tqdm
from wasabi import msg

from ..errors import Warnings
from ..pretraining.corpus.documents import corpus_files
from ..pretraining.corpus.preparation import (
    Prepared,
    prepare_corpus,
    usual_held_out_every,
)
from ..tokenization.coverage import MUCH_OF_CORPUS
from ..tokenization.wordpiece import ElectraTokenizer

_FORMATS = ".txt, .jsonl, .parquet or .spacy, plain or .gz, .xz, .zst"


def prepare(
    corpus: str = typer.Argument(..., help=f"File, folder or glob: {_FORMATS}"),
    tokenizer: str = typer.Argument(
        ..., help="Folder of the tokenizer, or a source directory, bundled name, hub id"
    ),
    output: Path = typer.Argument(..., help="Folder for the tokenized corpus"),
    held_out_every: int = typer.Option(
        0,
        min=0,
        help="Keep each such document apart for evaluation; 0 chooses by the size of "
        "the corpus, from 10 of a small one to 1000",
    ),
    workers: int = typer.Option(
        0, help="Processes; 1 uses the tokenizer's own threads, 0 chooses"
    ),
    engine: str = typer.Option(
        "local", help='Where: "local", on this machine, or "ray", on a Ray cluster'
    ),
    skip_broken: bool = typer.Option(
        False, help="Leave out broken lines and files, and name them at the end"
    ),
) -> None:
    """Tokenize raw text into memory-mapped arrays."""
    started = time.perf_counter()
    size = sum(file.stat().st_size for file in corpus_files(corpus))
    with tqdm(total=size, unit="B", unit_scale=True, desc="Reading") as bar:
        prepared = prepare_corpus(
            corpus,
            ElectraTokenizer.from_pretrained(tokenizer),
            output,
            held_out_every=held_out_every or usual_held_out_every(size),
            workers=workers or _usual_workers(),
            engine=engine,
            skip_broken=skip_broken,
            on_read=bar.update,
        )
    _report(prepared, output, time.perf_counter() - started)


def _usual_workers() -> int:
    # On a few cores the tokenizer's threads are as fast (benchmarks/prepare_speed.py).
    cores = os.cpu_count() or 1
    return cores if cores > 4 else 1


def _report(prepared: Prepared, output: Path, seconds: float) -> None:
    shards = prepared.shards
    for message in prepared.messages:
        msg.warn(message)
    if prepared.skipped:
        msg.warn(f"Left out {prepared.skipped:,} broken lines or files in all")
    unknown = int(shards.counts[shards.tokenizer.unk_token_id])
    if unknown > MUCH_OF_CORPUS * len(shards.ids):
        msg.warn(Warnings.SW133(share=unknown / len(shards.ids), what="pieces"))
    held_out = f"{len(shards.held_out):,} documents are held out"
    content = f"{len(shards.ids):,} pieces of {len(shards.offsets) - 1:,} documents"
    if not prepared.fresh:
        msg.info(f"{output} holds {content} of this corpus already; {held_out}")
        return
    speed = shards.meta["characters"] / 1e6 / seconds
    msg.good(
        f"Wrote {content} to {output} ({speed:.1f} million characters a second); "
        f"{held_out}"
    )
