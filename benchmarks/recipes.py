"""What each part of the recipe for minutes on a CPU is worth.

Runs of the same number of pieces, each with one part of `configs/pretrain_cpu.cfg` set
otherwise; held-out figures at the end of each.

    python benchmarks/recipes.py corpus/shards
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import typer
from machine import write_result
from wasabi import msg

from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.pretraining.settings import PretrainingSettings

CONFIG = Path(__file__).parents[1] / "configs" / "pretrain_cpu.cfg"
VARIANTS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "usual start": {"model.init": "usual"},
    "random words": {"model.words": "random"},
    "usual start, random words": {"model.init": "usual", "model.words": "random"},
    "no warm-up": {"objective.mlm_warmup": 0.0},
    "no correction": {"objective.correction_weight": 0.0},
    "generator's samples alone": {"sampler.start": 1.0, "sampler.end": 1.0},
    "generator of a quarter": {"model.generator_fraction": 0.25},
    "AdamW alone": {"optimizer.name": "adamw"},
}
SHOWN = ("mlm_loss", "mlm_accuracy", "auc_frequency", "auc_unigram", "auc_generator")


def short_run(
    shards: Path, tokens: int, changes: dict[str, Any]
) -> PretrainingSettings:
    """The recipe with changes, to end after some pieces and save nothing before."""
    overrides = {
        "data.shards": str(shards),
        "training.max_minutes": 0,
        "training.max_tokens": tokens,
        "training.save_every": 10**9,
        "training.evaluate_every": 10**9,
        **changes,
    }
    return PretrainingSettings.from_file(CONFIG, overrides)


def train(shards: Path, tokens: int, changes: dict[str, Any]) -> dict[str, float]:
    """The last figures of a run."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        Trainer(short_run(shards, tokens, changes), folder).train(report=rows.append)
    return {name: float(rows[-1][name]) for name in (*SHOWN, "minutes")}


def main(
    shards: Path = typer.Argument(..., help="Tokenized corpus"),
    tokens: int = typer.Option(3_000_000, help="Pieces a run"),
    only: list[str] = typer.Option([], help="Names of variants; all by default"),
) -> None:
    """Train each variant, print and write its held-out figures."""
    names = only or list(VARIANTS)
    figures: dict[str, dict[str, float]] = {}
    for name in names:
        figures[name] = train(shards, tokens, VARIANTS[name])
        msg.info(f"{name}: {figures[name]}")
    rows = [(n, *(f"{v:.3f}" for v in row.values())) for n, row in figures.items()]
    msg.table(rows, header=("", *SHOWN, "minutes"), divider=True)
    file = write_result("recipes", {"tokens": tokens, "variants": figures})
    msg.good(f"Wrote {file}")


if __name__ == "__main__":
    typer.run(main)
