r"""What each kind of error is worth: short runs with one kind beside swapped words.

Each run begins from the same checkpoint and takes the same number of pieces; half of
its errors are swapped words and half are of the one kind. The detectors are measured on
swaps and errors of each kind in held-out text, and on the development parts of UD
English EWT and REALEC.

    python benchmarks/error_kinds.py corpus/small/shards corpus/small/held_out.jsonl \
        corpus/text --data data --start en_tiny
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import typer
from machine import write_result
from rtd_detection import BUNDLED, erroneous, judge, swaps_in, take
from rtd_scorers import Discriminator, counted
from rtd_texts import (
    ERROR_KINDS,
    REALEC_DEV,
    Case,
    RealisticErrors,
    ewt,
    realec,
    sentences_of,
)
from wasabi import msg

from spacy_electra import ElectraConfig
from spacy_electra.pretraining.corpus.documents import read_documents
from spacy_electra.pretraining.error_samplers import KINDS
from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.pretraining.settings import PretrainingSettings
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer

CONFIG = Path(__file__).parents[1] / "configs" / "pretrain_en_small.cfg"
ALONE, TOGETHER = "word", "all of them"
SHAPE = (
    "embedding_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
# Misspellings of a list need that list, and are measured by rtd_detection.py.
OTHERS = tuple(kind for kind in KINDS if kind not in (ALONE, "misspelling"))
VARIANTS: dict[str, dict[str, float]] = {
    ALONE: {ALONE: 1.0},
    **{kind: {ALONE: 0.5, kind: 0.5} for kind in OTHERS},
    TOGETHER: {ALONE: 0.5, **{kind: 0.5 / len(OTHERS) for kind in OTHERS}},
}


def short_run(
    shards: Path, start: str, tokens: int, errors: dict[str, float], seed: int
) -> PretrainingSettings:
    """A run of so many pieces with these errors, which saves nothing before its end."""
    config = ElectraConfig.from_pretrained(start)
    settings = PretrainingSettings.from_file(
        CONFIG,
        {
            **{f"model.discriminator.{name}": getattr(config, name) for name in SHAPE},
            "data.shards": str(shards),
            "model.init_from": start,
            "optimizer.warmup_steps": 20,
            "training.max_minutes": 0,
            "training.max_tokens": tokens,
            "training.save_every": 10**9,
            "training.evaluate_every": 10**9,
            "training.seed": seed,
        },
    )
    # In place of the config's, where an override would be one kind more.
    return replace(settings, sampler=replace(settings.sampler, errors=errors))


def texts_to_judge(
    held_out: Path, corpus: Path, data: Path, most: int, seed: int
) -> dict[str, list[Case]]:
    """Sentences with errors, by what is wrong with them."""
    documents = list(read_documents(held_out))
    counts: Counter[str] = counted(read_documents(corpus))
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source(BUNDLED))
    made = RealisticErrors(counts, tokenizer, seed)
    sound = take(sentences_of(documents, str.isalpha), most * 2, seed)
    return {
        "swaps": swaps_in(documents, counts, most, 0.1, seed),
        **{kind: erroneous(made, sound, kind, most) for kind in ERROR_KINDS},
        "swaps, EWT dev": swaps_in(ewt(data, "dev"), counts, most, 0.1, seed),
        "REALEC dev": realec(data, REALEC_DEV),
    }


def detector(settings: PretrainingSettings, cases: dict[str, list[Case]]) -> Any:
    """Areas under the curve of what a run learns, by what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        Trainer(settings, folder).train()
        scorer = Discriminator(str(Path(folder) / "final" / "discriminator"))
        return {name: judge(scorer, own)["auc"] for name, own in cases.items()}


def main(
    shards: Path = typer.Argument(..., help="Tokenized corpus"),
    held_out: Path = typer.Argument(..., help="Documents that it does not have"),
    corpus: Path = typer.Argument(..., help="Its text, for counts of words"),
    data: Path = typer.Option(..., help="Folder of the data sets"),
    start: str = typer.Option(..., help="Checkpoint that each run begins from"),
    tokens: int = typer.Option(200_000, help="Pieces a run"),
    sentences: int = typer.Option(300, help="Sentences with errors of each kind"),
    only: list[str] = typer.Option([], help="Kinds; all by default"),
    threads: int = typer.Option(0, help="Threads; torch's number by default"),
    seed: int = typer.Option(0, help="Of the runs and the errors"),
) -> None:
    """Train each variant; print and write its areas under the curve."""
    if threads:
        torch.set_num_threads(threads)
    cases = texts_to_judge(held_out, corpus, data, sentences, seed)
    asked = {"tokens": tokens, "sentences": sentences, "seed": seed}
    figures: dict[str, dict[str, float]] = {}
    for name in only or VARIANTS:
        settings = short_run(shards, start, tokens, VARIANTS[name], seed)
        figures[name] = detector(settings, cases)
        # What an interrupted run has is kept.
        file = write_result("error_kinds", {**asked, "variants": figures})
        msg.good(f"{name}: {file}")
    rows = [(n, *(f"{v:.3f}" for v in row.values())) for n, row in figures.items()]
    msg.table(rows, header=("beside swaps", *cases), divider=True)


if __name__ == "__main__":
    typer.run(main)
