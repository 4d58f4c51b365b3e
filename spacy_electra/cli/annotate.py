"""`python -m spacy electra annotate`: a pipeline over files of any size."""

from __future__ import annotations

from pathlib import Path

import typer
from wasabi import msg

from ..annotation.run import Summary, annotate_files
from ..annotation.settings import AnnotationSettings
from ..annotation.shards import ERRORS, input_files
from .gpu import GPU_ID, check_gpu
from .progress import AnnotationBar

_FORMATS = ".txt, .jsonl, .parquet or .spacy, plain or .gz, .xz, .zst"


def annotate(
    inputs: list[str] = typer.Argument(
        ..., help=f"Files, folders or globs: {_FORMATS}", metavar="IN..."
    ),
    output: Path = typer.Argument(..., help="Folder for the results", metavar="OUT"),
    pipeline: str = typer.Option(
        ..., "--pipeline", "-p", help="Installed package or folder, as for spacy.load"
    ),
    format: str = typer.Option("jsonl", help='"jsonl", "parquet" or "docbin"'),
    annotations: str = typer.Option(
        "",
        help='What to write: "doc.ents,token._.rtd_score"; by default all that the '
        "components assign",
    ),
    text_field: str = typer.Option("text", help="Field or column that holds the text"),
    annotation_field: str = typer.Option(
        "annotation", help="Field or column for what the pipeline finds"
    ),
    inputs_of_docs: str = typer.Option(
        "",
        "--inputs",
        help='Fields that components ask for: "questions" is set as doc._.questions',
    ),
    max_length: int = typer.Option(
        0, help="Most characters of a text; 0 for the pipeline's own limit"
    ),
    shard_size: int = typer.Option(1000, help="Most rows of an output file"),
    batch_size: int = typer.Option(
        0, help="Texts that the pipeline gets at a time; 0 for its own number"
    ),
    n_process: int = typer.Option(
        1, "--n-process", "-n", help="Processes, or workers on Ray"
    ),
    engine: str = typer.Option(
        "local", help='Where: "local", on this machine, or "ray", on a Ray cluster'
    ),
    gpu_id: int = GPU_ID,
    resume: bool = typer.Option(
        False, help="Go on with what the folder holds of the same run"
    ),
) -> None:
    """Annotate the rows of files with a pipeline.

    Every row comes out once, with its fields, or stands in the folder "errors" with a
    reason.
    """
    if engine == "local":
        check_gpu(gpu_id)
    settings = AnnotationSettings(
        pipeline,
        format=format,
        annotations=_names(annotations),
        text_field=text_field,
        annotation_field=annotation_field,
        inputs=_names(inputs_of_docs),
        max_length=max_length,
        batch_size=batch_size,
        shard_size=shard_size,
        gpu_id=gpu_id,
    )
    size = sum(file.stat().st_size for file in input_files(inputs, output))
    with AnnotationBar(size) as bar:
        summary = annotate_files(
            inputs,
            output,
            settings,
            engine=engine,
            processes=n_process,
            resume=resume,
            on_shard=bar.on_shard,
        )
    _report(summary, output)


def _names(option: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in option.split(",")) if name)


def _report(summary: Summary, output: Path) -> None:
    for message in summary.warnings:
        msg.warn(message)
    if summary.done_before:
        msg.info(f"{summary.done_before:,} shards were done before")
    if summary.bad:
        msg.warn(
            f"{summary.bad:,} rows could not be annotated; {output / ERRORS} says why"
        )
    msg.good(
        f"Annotated {summary.rows:,} rows ({summary.words:,} words); {output} holds "
        f"{summary.shards:,} shards"
    )
