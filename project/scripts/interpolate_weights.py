"""Weights between a checkpoint and what further training made of it.

The straight line between the two often holds weights that keep more of what the first
one could do elsewhere (Wortsman et al., 2022, "Robust fine-tuning of zero-shot
models").
"""

from __future__ import annotations

import shutil
from pathlib import Path

import typer
from safetensors.torch import load_file, save_file
from wasabi import msg

WEIGHTS = "model.safetensors"


def main(
    before: Path = typer.Argument(..., help="Checkpoint before, exported as fp32"),
    after: Path = typer.Argument(..., help="Checkpoint after, exported as fp32"),
    output: Path = typer.Argument(..., help="New folder, made like the second one"),
    share: float = typer.Option(0.75, help="Of the second one", min=0.0, max=1.0),
) -> None:
    """Write a checkpoint, with its generator if there is one."""
    shutil.copytree(after, output)
    for file in sorted(output.rglob(WEIGHTS)):
        old = load_file(before / file.relative_to(output))
        new = load_file(file)
        if old.keys() != new.keys():
            names = ", ".join(sorted(old.keys() ^ new.keys()))
            msg.fail(f"Only one of the two has these weights: {names}", exits=1)
        between = {
            name: (share * weight + (1 - share) * old[name]).contiguous()
            for name, weight in new.items()
        }
        save_file(between, file, metadata={"format": "pt"})
        msg.good(f"Wrote {len(between)} tensors to {file}")


if __name__ == "__main__":
    typer.run(main)
