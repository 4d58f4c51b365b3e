"""`python -m spacy electra init-config`: a config that ships with the package."""

from __future__ import annotations

import re
from pathlib import Path

import typer
from spacy.cli._util import show_validation_error
from thinc.api import Config
from wasabi import msg

from ..errors import Errors
from .overrides import config_overrides

CONFIGS = Path(__file__).parents[1] / "configs"


def init_config(
    ctx: typer.Context,
    job: str = typer.Argument("", help="What to train; without it all are listed"),
    output: Path = typer.Argument(Path("-"), help='File to write, "-" for the output'),
    force: bool = typer.Option(
        False, "--force", "-F", help="Write over a file that is there"
    ),
) -> None:
    """Write one of the configs that ship with the package.

    They are complete: `spacy train` takes those with components, `spacy electra
    pretrain` the others, named pretrain_SIZE. Settings can be set otherwise here, as
    --section.key value.
    """
    shipped = {file.stem: file for file in sorted(CONFIGS.glob("*.cfg"))}
    if not job:
        msg.table([(name, _purpose(file)) for name, file in shipped.items()])
        return
    if job not in shipped:
        choices = ", ".join(shipped)
        raise ValueError(Errors.SE002(name="job", value=job, choices=choices))
    text = shipped[job].read_text(encoding="utf8")
    settings = ctx.args
    if str(output).startswith("--"):
        # Without a file, the first setting stands where the file would.
        settings, output = [str(output), *settings], Path("-")
    if settings:
        sections = Config().from_str(text, interpolate=False)
        overrides = config_overrides(settings, sections)
        with show_validation_error(hint_fill=False):
            config = Config().from_str(text, interpolate=False, overrides=overrides)
        text = config.to_str()
    if str(output) == "-":
        typer.echo(text, nl=False)
        return
    if output.exists() and not force:
        raise FileExistsError(Errors.SE680(path=output))
    output.write_text(text, encoding="utf8")
    msg.good(f"Wrote the config {job} to {output}")
    msg.text(_next(job, output), spaced=True)


def _purpose(file: Path) -> str:
    """What a config says of itself in its first line."""
    return file.read_text(encoding="utf8").split("\n")[0].removeprefix("# ")


def _next(job: str, output: Path) -> str:
    """The command of the config's first lines, for the file that was written."""
    text = (CONFIGS / f"{job}.cfg").read_text(encoding="utf8")
    found = re.search(r"^# ((?:python|torchrun) .*(?:\n#     .*)*)", text, re.MULTILINE)
    assert found, job
    command = " ".join(found[1].replace("\\\n#", "").split())
    return command.replace(f"configs/{job}.cfg", str(output))
