"""What int8 costs in accuracy: pipelines trained in fp32, evaluated in each precision.

A tagger with parser, morphologizer and lemmatizer on UD English EWT, and names of
WNUT-17, each on an `electra` with the weights of a checkpoint. The ranges of int8 come
from the training texts. Small budgets: this compares precisions, and says nothing of
how good a pipeline can get.

    python benchmarks/int8_accuracy.py ../shared/data --source en_small

Every run leaves a file in the working folder and is not done again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import srsly
import torch
import typer
from accuracy import (
    COMPONENT,
    FP32,
    METRICS,
    Budget,
    checkpoint,
    config_of,
    corpus,
    evaluate,
    train,
)
from machine import write_result
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Corpus
from wasabi import msg

from spacy_electra.layers.encoding import WithEncoder

STEPS = 900
BUDGETS = (
    Budget("", "ewt", STEPS, 400, 1255, 201),
    Budget("", "wnut17", STEPS, 400, 3394, 1009),
)
PRECISIONS = ("fp32", "bf16", "int8")
Run = dict[str, Any]


def set_precision_of(
    encoder: WithEncoder[Any, Any], precision: str, docs: Iterable[Doc]
) -> None:
    """Have an encoder compute in a precision from now on."""
    shim = encoder.shim
    shim.quantizes = precision == "int8"
    shim.precision = "auto" if shim.quantizes else precision
    encoder.calibrate(docs)


def set_precision(nlp: Language, precision: str, train_file: Path) -> None:
    """Have a pipeline's encoder compute in a precision from now on."""
    docs = (example.reference for example in Corpus(train_file)(nlp))
    set_precision_of(nlp.get_pipe(COMPONENT).model, precision, docs)


def one_run(budget: Budget, seed: int, paths: dict[str, Path]) -> Run:
    """Scores of a trained pipeline in each precision."""
    nlp, figures = train(config_of(budget, FP32, seed, paths))
    found: Run = {"train_seconds": figures["train_seconds"]}
    for precision in PRECISIONS:
        set_precision(nlp, precision, paths["train"])
        scores = evaluate(nlp, paths["dev"])["scores"]
        found[precision] = {name: scores[name] for name in METRICS[budget.task]}
    return found


def main(
    data: Path = typer.Argument(..., help="Folder of the data sets"),
    source: str = typer.Option("en_small", help="Checkpoint"),
    work: Path = typer.Option(Path("output/int8_accuracy"), help="Corpora and runs"),
    seeds: int = typer.Option(3, help="Runs of each kind"),
    steps: int = typer.Option(STEPS, help="Updates"),
    task: list[str] = typer.Option(["ewt", "wnut17"], help="May be repeated"),
) -> None:
    """Do the runs that are missing; print and write the figures."""
    torch.set_num_threads(1)
    results: dict[str, list[Run]] = {}
    for budget in BUDGETS:
        if budget.task not in task:
            continue
        budget = replace(budget, weights=source, steps=steps)
        paths = {
            "train": corpus(data, work, budget.task, "train", budget.train),
            "dev": corpus(data, work, budget.task, "dev", budget.dev),
            "source": checkpoint(work, source, None),
        }
        for seed in range(seeds):
            file = work / "runs" / f"{source}-{budget.task}-{steps}-{seed}.json"
            if not file.exists():
                figures = one_run(budget, seed, paths)
                file.parent.mkdir(parents=True, exist_ok=True)
                srsly.write_json(file, figures)
                gc.collect()
            results.setdefault(budget.task, []).append(srsly.read_json(file))
    rows = []
    for name, runs in results.items():
        for metric in METRICS[name]:
            means = [mean(run[p][metric] for run in runs) for p in PRECISIONS]
            # The largest difference of any seed, not that of the means.
            worst = max(abs(run["int8"][metric] - run["fp32"][metric]) for run in runs)
            cells = [f"{100 * value:.2f}" for value in (*means, worst)]
            rows.append((name, metric, str(len(runs)), *cells))
    header = ("Task", "Metric", "Seeds", *PRECISIONS, "Largest int8 - fp32")
    msg.table(rows, header=header, divider=True)
    figures = {"source": source, "steps": steps, "runs": results}
    msg.good(f"Wrote {write_result('int8_accuracy', figures)}")


if __name__ == "__main__":
    typer.run(main)
