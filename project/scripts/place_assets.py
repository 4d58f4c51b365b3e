"""Put the assets of the project in place, from a folder that has them if it can.

A copy is taken where a file of the same path below that folder has the checksum that
project.yml names. What is missing then is downloaded, as `spacy project assets` does,
and all is checked.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import typer
from wasabi import msg
from weasel.cli.assets import fetch_asset
from weasel.util import get_checksum, load_project_config

ASSETS = Path("assets")
Asset = dict[str, str]


def main(
    data: Path = typer.Argument(..., help="Folder that may hold the same files"),
    project: Path = typer.Option(Path("."), help="Folder of project.yml"),
    instead: list[str] = typer.Option(
        [], help="FILE=ASSET: a file of that folder in place of one without checksum"
    ),
) -> None:
    """Copy what is at hand, download the rest, and check that all is there."""
    assets = load_project_config(project)["assets"]
    others = {asset: data / file for file, _, asset in map(_parts, instead)}
    copied = copy_assets(assets, data, project, others)
    if copied:
        msg.info(f"Copied {copied} of {len(assets)} assets from {data}")
    for asset in assets:
        if not is_in_place(asset, project):
            try:
                fetch_asset(project, asset["url"], Path(asset["dest"]), _sum(asset))
            except (OSError, RuntimeError) as error:
                msg.warn(f"Download failed: {asset['url']}", str(error))
    wrong = [a["dest"] for a in assets if not is_in_place(a, project)]
    if wrong:
        msg.fail("Not in place, or with another checksum", ", ".join(wrong), exits=1)
    msg.good(f"{len(assets)} assets are in place")


def copy_assets(
    assets: list[Asset], data: Path, project: Path, others: dict[str, Path]
) -> int:
    """Copy the assets that a folder has; returns how many.

    Args:
        assets: Of project.yml.
        data: The folder.
        project: Where they go.
        others: By asset, a file in its place where it has no checksum.
    """
    copied = 0
    for asset in assets:
        if is_in_place(asset, project):
            continue
        source = data / Path(asset["dest"]).relative_to(ASSETS)
        checksum = _sum(asset)
        if checksum is None and not source.is_file():
            source = others.get(asset["dest"], source)
        if source.is_file() and checksum in (None, get_checksum(source)):
            target = project / asset["dest"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            copied += 1
    return copied


def is_in_place(asset: Asset, project: Path) -> bool:
    """Whether the file is there and, where there is a checksum, is the right one."""
    file = project / asset["dest"]
    if not file.is_file() or not file.stat().st_size:
        return False
    return _sum(asset) in (None, get_checksum(file))


def _sum(asset: Asset) -> str | None:
    return asset.get("checksum")


def _parts(pair: str) -> tuple[str, str, str]:
    if "=" not in pair:
        msg.fail(f"--instead takes FILE=ASSET, not {pair!r}", exits=1)
    return pair.partition("=")


if __name__ == "__main__":
    typer.run(main)
