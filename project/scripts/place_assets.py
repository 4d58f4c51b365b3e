"""Put the assets of the project in place, from a folder beside the checkout if it can.

A copy is taken where a file of the same path below that folder has the checksum that
project.yml names; `assets` of spaCy's projects then leaves it alone and downloads only
what is missing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import typer
from wasabi import msg
from weasel.cli.assets import project_assets
from weasel.util import get_checksum, load_project_config

ASSETS = Path("assets")


def main(
    data: Path = typer.Argument(..., help="Folder that may hold the same files"),
    project: Path = typer.Option(Path("."), help="Folder of project.yml"),
) -> None:
    """Copy what is at hand, download the rest, and check that all is there."""
    assets = load_project_config(project)["assets"]
    copied = copy_assets(assets, data, project)
    msg.info(f"Copied {copied} of {len(assets)} assets from {data}")
    try:
        project_assets(project)
    except (OSError, RuntimeError) as error:
        msg.warn("Download failed", str(error))
    wrong = [a["dest"] for a in assets if not is_in_place(a, project)]
    if wrong:
        msg.fail("Not in place, or with another checksum", ", ".join(wrong), exits=1)


def copy_assets(assets: list[dict[str, str]], data: Path, project: Path) -> int:
    """Copy the assets that a folder has; returns how many."""
    copied = 0
    for asset in assets:
        source = data / Path(asset["dest"]).relative_to(ASSETS)
        same = source.is_file() and get_checksum(source) == asset["checksum"]
        if same and not is_in_place(asset, project):
            target = project / asset["dest"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            copied += 1
    return copied


def is_in_place(asset: dict[str, str], project: Path) -> bool:
    """Whether the file is there and is the right one."""
    file = project / asset["dest"]
    return file.is_file() and get_checksum(file) == asset["checksum"]


if __name__ == "__main__":
    typer.run(main)
