"""Fine-tune an encoder several times with `spacy train`, and gather the scores."""

from __future__ import annotations

import statistics
from pathlib import Path

import srsly
import typer
from spacy.cli._util import parse_config_overrides
from spacy.cli.train import train
from spacy.training import Corpus
from spacy.util import load_model
from wasabi import msg


def main(
    ctx: typer.Context,
    config: Path = typer.Argument(..., help="Config of `spacy train`", exists=True),
    output: Path = typer.Argument(..., help="Folder for the pipelines"),
    test: Path = typer.Argument(..., help="To measure on", exists=True),
    metrics: Path = typer.Argument(..., help="JSON file to write"),
    seeds: str = typer.Option("0,1,2", help="Seeds, one training each"),
    score: list[str] = typer.Option(["cats_macro_auc"], help="The scores to gather"),
    limit: int = typer.Option(0, help="Most documents to measure on; 0 for all"),
    gpu_id: int = typer.Option(-1, help="GPU, or -1 for the CPU"),
) -> None:
    """Train with each seed; any setting of the config can be given, too."""
    overrides = parse_config_overrides(ctx.args)
    scores: dict[str, list[float]] = {name: [] for name in score}
    for seed in map(int, seeds.split(",")):
        folder = output / f"seed_{seed}"
        train(
            config,
            folder,
            use_gpu=gpu_id,
            overrides={**overrides, "system.seed": seed},
        )
        nlp = load_model(folder / "model-best")
        found = nlp.evaluate(list(Corpus(test, limit=limit)(nlp)))
        for name in score:
            scores[name].append(found[name])
            msg.good(f"Seed {seed}: {name} {found[name]:.4f}")
    rows = [summary(name, values) for name, values in scores.items()]
    srsly.write_json(metrics, rows[0] if len(rows) == 1 else rows)


def summary(score: str, values: list[float]) -> dict[str, object]:
    """Values, their mean and their standard deviation (of the sample)."""
    return {
        "score": score,
        "values": values,
        "mean": statistics.fmean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
    }


app = typer.Typer(add_completion=False)
# The config's settings are options too, and typer does not know them.
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)(main)

if __name__ == "__main__":
    app()
