"""`python -m spacy electra train`: `spacy train`, on one process or several."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
import typer
from spacy.cli._util import (
    import_code,
    parse_config_overrides,
    setup_gpu,
    show_validation_error,
)
from spacy.cli.train import train as train_alone
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_pipeline
from spacy.util import load_config, logger
from thinc.api import fix_random_seed
from wasabi import msg

from ..errors import Errors
from ..pipeline.training.distributed import Messages, together
from ..pretraining.run.distributed import Workers, workers_from_environment

# The first process speaks for those that find the same fault.
_SECONDS_TO_WAIT = 3.0


def train(
    ctx: typer.Context,
    config: Path = typer.Argument(..., help="Config file", exists=True),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Folder for the trained pipeline"
    ),
    code: Path | None = typer.Option(
        None, "--code", "-c", help="Python file to import, with registered functions"
    ),
    verbose: bool = typer.Option(False, "--verbose", "-V", help="Say more"),
    gpu_id: int = typer.Option(
        -1, "--gpu-id", "-g", help="GPU ID, of the first process; -1 for the CPU"
    ),
) -> None:
    """Train a pipeline as `spacy train` does, with the same config and result.

    Settings of the config can be set otherwise here, as --section.key value. Below
    `torchrun` (torchrun --nproc-per-node 2 -m spacy electra train ...) the processes
    divide the encoder's work on each batch.
    """
    if verbose:
        logger.setLevel(logging.DEBUG)
    overrides = parse_config_overrides(ctx.args)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        import_code(code)
        train_alone(config, output, use_gpu=gpu_id, overrides=overrides)
        return
    gpu, problem = own_gpu(gpu_id)
    device = torch.device("cpu" if gpu < 0 or problem else f"cuda:{gpu}")
    with workers_from_environment(device) as workers, _one_voice(workers):
        if problem:
            raise ValueError(problem)
        import_code(code)
        _train_together(config, output, gpu, overrides, workers)


def own_gpu(gpu_id: int) -> tuple[int, str]:
    """The GPU of this process, -1 for the CPU, and what is wrong with that."""
    if gpu_id < 0:
        return -1, ""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    last, count = gpu_id + processes - 1, torch.cuda.device_count()
    problem = ""
    if last >= count:
        problem = Errors.SE660(
            processes=processes, first=gpu_id, last=last, count=count
        )
    return gpu_id + int(os.environ.get("LOCAL_RANK", "0")), problem


def _train_together(
    config_path: Path,
    output: Path | None,
    gpu: int,
    overrides: dict[str, Any],
    workers: Workers,
) -> None:
    """What `spacy train` does, step for step."""
    messages = Messages(workers)
    if workers.first and output is not None:
        output.mkdir(parents=True, exist_ok=True)
        msg.info(f"Saving to output directory: {output}")
    setup_gpu(gpu)
    with show_validation_error(config_path):
        config = load_config(config_path, overrides=overrides, interpolate=False)
    # Without a seed in the config the processes still need one.
    seed = messages.from_first(secrets.randbits(31))
    msg.divider("Initializing pipeline")
    with show_validation_error(config_path, hint_fill=False):
        fix_random_seed(seed)
        nlp = init_nlp(config, use_gpu=gpu)
    msg.good("Initialized pipeline")
    msg.divider(f"Training pipeline with {workers.size} processes")
    with together(nlp, workers, messages):
        train_pipeline(
            nlp,
            output if workers.first else None,
            use_gpu=gpu,
            stdout=sys.stdout,
            stderr=sys.stderr if workers.first else StringIO(),
        )


@contextmanager
def _one_voice(workers: Workers) -> Iterator[None]:
    """Let the first process alone speak, and of those that fail one say why."""
    said = StringIO()
    try:
        if workers.first:
            yield
            return
        logger.setLevel(logging.ERROR)
        with redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (Exception, SystemExit):
        if not _speaks(workers):
            raise typer.Exit(1) from None
        if not workers.first:
            msg.warn(f"Process {workers.rank} of {workers.size} fails:")
            print(said.getvalue())
        raise


def _speaks(workers: Workers) -> bool:
    """Whether this process is the first to fail, and no other will say the same."""
    assert workers.store is not None
    deadline = time.monotonic() + (0.0 if workers.first else _SECONDS_TO_WAIT)
    while time.monotonic() < deadline and not workers.store.check(["failed"]):
        time.sleep(0.05)
    return workers.store.add("failed", 1) == 1
